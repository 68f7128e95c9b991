"""Stores of checkpoints: the key that is expected to sign them, and the notes as they were signed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.kit.fakes.checkpoints import FakeCheckpoints, FakeHeadSigner
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.notes import stored_notes
from tests.kit.vault import Vault
from vault_etl.audit.chain import genesis
from vault_etl.audit.checkpoint import Head, Registration
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints, PostgresKeyRegistry
from vault_etl.audit.signing import CheckpointStore, KeyRegistry, SigningKey, sign_head
from vault_etl.platform.postgres import Database


class Desk:
    """A store, a way to register a key in it, and what it holds."""

    def __init__(
        self,
        store: Callable[[], CheckpointStore],
        register: Callable[[Registration], Head],
        notes: Callable[[], list[str]],
    ) -> None:
        self.store, self.register, self.notes = store, register, notes


class FakeRegistry:
    """Registers in the fake."""

    def __init__(self, checkpoints: FakeCheckpoints) -> None:
        self._checkpoints = checkpoints

    def register(self, request: AuditRequest, registration: Registration) -> Head:
        """Register the key in the fake."""
        del request
        if registration.holds(self._checkpoints.vault_id()):
            key = SigningKey(registration.kms_key_arn, registration.key)
            self._checkpoints.keys.insert(0, key)
        return self.head()

    def head(self) -> Head:
        """The head of the fake's log."""
        return Head(2, bytes(32))


def _registering(registry: KeyRegistry) -> Callable[[Registration], Head]:
    def register(registration: Registration) -> Head:
        request = audit_request(FakeIdentity(), Action.KEY_REGISTER, "a test")
        return registry.register(request, registration)

    return register


@pytest.fixture(params=["fake", "postgres"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A store without a key."""
    if request.param == "fake":
        fake = FakeCheckpoints()
        yield Desk(
            lambda: fake, _registering(FakeRegistry(fake)), lambda: [c.note for c in fake.stored]
        )
        return
    vault: Vault = request.getfixturevalue("database")
    signing, auditing = (Database(vault.database_url(role)) for role in ("reveal", "audit"))
    yield Desk(
        lambda: PostgresCheckpoints(signing),
        _registering(PostgresKeyRegistry(auditing)),
        lambda: stored_notes(vault),
    )
    signing.close()
    auditing.close()


def register(desk: Desk, signer: FakeHeadSigner) -> Head:
    """Register a key with the proof that it needs."""
    head = Head(0, genesis(desk.store().vault_id()))
    return desk.register(signer.registration(desk.store().vault_id(), head))


def registered(desk: Desk) -> list[tuple[str, bytes]]:
    """ARN and public key of each registered key."""
    return [(key.kms_key_arn, key.key.spki) for key in desk.store().registered_keys()]


def test_no_key_is_registered_until_one_proves_itself(desk: Desk) -> None:
    """Afterwards that key is registered, with its ARN."""
    assert registered(desk) == []
    signer = FakeHeadSigner()
    register(desk, signer)
    assert registered(desk) == [(signer.arn, signer.signing_key().key.spki)]


def test_the_newest_key_comes_first(desk: Desk) -> None:
    """The older key goes on counting."""
    signers = [FakeHeadSigner() for _ in range(2)]
    heads = [register(desk, signer) for signer in signers]
    keys = [signer.signing_key().key.spki for signer in reversed(signers)]
    assert [spki for _, spki in registered(desk)] == keys
    assert heads[0].seq <= heads[1].seq


@pytest.mark.parametrize("broken", ["another key's signature", "another ARN", "another vault"])
def test_a_key_that_did_not_sign_its_registration_does_not_count(desk: Desk, broken: str) -> None:
    """The register may hold other keys before it and behind it."""
    honest, foreign = FakeHeadSigner(), FakeHeadSigner()
    vault_id = desk.store().vault_id()
    good = foreign.registration(vault_id, Head(0, genesis(vault_id)))
    bad = {
        "another key's signature": replace(good, signature=honest.sign(good.text.encode()).der),
        "another ARN": replace(good, kms_key_arn=f"{good.kms_key_arn}2"),
        "another vault": replace(
            foreign.registration(uuid.uuid4(), good.head), vault_id=good.vault_id
        ),
    }[broken]
    desk.register(bad)
    assert registered(desk) == []
    register(desk, honest)
    desk.register(bad)
    assert registered(desk) == [(honest.arn, honest.signing_key().key.spki)]


def test_a_vault_has_one_id(desk: Desk) -> None:
    """Each caller gets the same id."""
    assert desk.store().vault_id() == desk.store().vault_id()


def test_a_signed_note_is_stored_as_it_is(desk: Desk) -> None:
    """The stored note is the signed note, byte for byte."""
    signer = FakeHeadSigner()
    head = register(desk, signer)
    checkpoint = sign_head(head, desk.store(), signer, desk.store().registered_keys())
    assert desk.notes() == [checkpoint.note]
