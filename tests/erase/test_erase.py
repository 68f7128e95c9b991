"""Erase: what is erased stays erased, and a certificate says what is certain."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.checkpoints import FakeCheckpoints, FakeHeadSigner
from tests.kit.fakes.eraser import FakeEraser
from tests.kit.fakes.identity import ACTOR
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.vault import FakeVault
from vault_etl.audit.checkpoint import Checkpoint
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import NotFoundError
from vault_etl.erase.erase import Certificate, Erasable, Erase, RecordTarget, Target, UserTarget


class Desk:
    """One vault, the service, and what it needs."""

    def __init__(self, vault: FakeVault) -> None:
        self.vault = vault
        self.signer = FakeHeadSigner()
        self.checkpoints = FakeCheckpoints(self.signer.signing_key())
        self.kept: list[Checkpoint] = []
        eraser = FakeEraser(vault.database)
        self.service = Erase(
            eraser, self.checkpoints, self.signer, self.kept.append, vault.database
        )

    def erase(self, target: Target) -> Certificate:
        """Erase it."""
        request = AuditRequest(
            request_id=uuid.uuid4(),
            action=Action.ERASE,
            actor=ACTOR,
            host="host.example",
            reason="a request",
            fields=PERSONAL_FIELDS,
        )
        return self.service(request, target)


@pytest.fixture
def desk(fake_vault: FakeVault) -> Desk:
    """A vault, and who erases in it."""
    return Desk(fake_vault)


@pytest.fixture
def record(fake_vault: FakeVault) -> RecordTarget:
    """A stored record."""
    (record_id,) = fake_vault.store(login_event())
    return RecordTarget(record_id)


def test_the_head_that_is_signed_is_the_erasures_own(desk: Desk, record: RecordTarget) -> None:
    """Its outcome's seq and hash, under the registered key; stored, and kept outside."""
    certificate = desk.erase(record)
    last = desk.vault.database.audit[-1]
    checkpoint = certificate.checkpoint
    assert checkpoint is not None
    assert (checkpoint.head.seq, checkpoint.head.hash) == (last.seq, last.hash)
    assert (certificate.erasure.seq, certificate.erasure.erased_at) == (last.seq, last.logged_at)
    assert desk.signer.signing_key().key.signed(checkpoint)
    assert desk.checkpoints.stored == desk.kept == [checkpoint]
    assert certificate.unsigned is None


def test_a_failed_signature_is_told_and_undoes_nothing(desk: Desk, record: RecordTarget) -> None:
    """The certificate comes without a checkpoint, with the reason, exit 74."""
    desk.signer.down = True
    certificate = desk.erase(record)
    assert certificate.erasure.records == 1
    assert certificate.checkpoint is None
    assert certificate.unsigned is not None
    assert certificate.unsigned.exit_code == 74
    assert desk.service.preview(record) == Erasable(0, 0)


def test_another_key_than_the_registered_one_signs_nothing(
    desk: Desk, record: RecordTarget
) -> None:
    """A signature that does not verify counts as missing."""
    desk.checkpoints.keys = [FakeHeadSigner().signing_key()]
    certificate = desk.erase(record)
    assert certificate.checkpoint is None
    assert certificate.unsigned is not None
    assert desk.kept == []


def test_before_a_key_is_registered_nothing_is_signed(desk: Desk, record: RecordTarget) -> None:
    """Nobody has to wait for that to be forgotten."""
    desk.checkpoints.keys = []
    certificate = desk.erase(record)
    assert (certificate.checkpoint, certificate.unsigned) == (None, None)
    assert certificate.erasure.records == 1


@pytest.mark.parametrize("target", [RecordTarget(uuid.UUID(int=1)), UserTarget("nobody")])
def test_what_is_not_there_is_not_found(desk: Desk, target: Target) -> None:
    """By the preview and by the erasure, and nothing is signed."""
    with pytest.raises(NotFoundError):
        desk.service.preview(target)
    with pytest.raises(NotFoundError):
        desk.erase(target)
    assert desk.kept == []
