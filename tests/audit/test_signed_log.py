"""The head is signed, stored and kept after every outcome; otherwise no value is shown."""

from __future__ import annotations

import pytest

from tests.kit.fakes.checkpoints import FakeCheckpoints, FakeHeadSigner
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault, reveal_request, rotate_request
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import audited
from vault_etl.audit.signing import HeadSigner, SignedLog
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    IntegrityError,
    PolicyDeniedError,
    UnavailableError,
)


class Signed:
    """A signed log over the fakes."""

    def __init__(self, vault: FakeVault, signer: HeadSigner | None = None) -> None:
        self.vault = vault
        self.signer = FakeHeadSigner()
        self.checkpoints = FakeCheckpoints(self.signer.signing_key())
        self.kept: list[Checkpoint] = []
        self.log = SignedLog(vault.audit, self.checkpoints, signer or self.signer, self.kept.append)

    def entries(self) -> list[tuple[str, str | None]]:
        """Decision and error code of every entry."""
        return [(e.decision, e.error_code) for e in self.vault.database.audit]


@pytest.fixture
def signed(fake_vault: FakeVault) -> Signed:
    """A signed log whose key is registered."""
    return Signed(fake_vault)


def test_the_outcome_is_signed_stored_kept_and_in_the_receipt(signed: Signed) -> None:
    """The head after the outcome is signed, not the intent."""
    with audited(signed.log, reveal_request(None)) as receipt:
        assert receipt.checkpoint is None
        assert signed.kept == []
    (checkpoint,) = signed.kept
    assert signed.checkpoints.stored == [checkpoint]
    assert receipt.checkpoint == checkpoint.note
    outcome = signed.vault.database.audit[-1]
    assert checkpoint.head == Head(outcome.seq, outcome.hash)
    assert signed.signer.signing_key().key.signed(checkpoint)


def test_signing_comes_after_the_outcome(fake_vault: FakeVault) -> None:
    """The order is intent, work, outcome, signature, store."""
    recorder = Recorder()
    signer = FakeHeadSigner()
    checkpoints = FakeCheckpoints(signer.signing_key())
    log = SignedLog(
        recorder.tap(fake_vault.audit),
        recorder.tap(checkpoints),
        recorder.tap(signer),
        lambda _: None,
    )
    with audited(log, reveal_request(None)):
        recorder.calls.append("the work")
    calls = [name for name in recorder.calls if name not in {"registered_keys", "vault_id"}]
    assert calls == ["intend", "the work", "conclude", "sign", "store"]


def test_a_signer_that_is_down_withholds_opened_values(signed: Signed) -> None:
    """The outcome is in the log, and the block has failed."""
    signed.signer.down = True
    with (
        pytest.raises(AuditError, match="could not be signed"),
        audited(signed.log, reveal_request(None)),
    ):
        pass
    assert signed.entries() == [("allowed", None), ("done", None)]
    assert signed.kept == signed.checkpoints.stored == []


def test_a_signature_of_another_key_withholds_opened_values(fake_vault: FakeVault) -> None:
    """The signature must be that of the registered key."""
    signed = Signed(fake_vault, signer=FakeHeadSigner())
    with (
        pytest.raises(AuditError, match="the key that signs is not the registered one"),
        audited(signed.log, reveal_request(None)),
    ):
        pass
    assert signed.checkpoints.stored == []


def test_a_checkpoint_that_is_not_stored_withholds_opened_values(fake_vault: FakeVault) -> None:
    """A checkpoint is stored before a value is shown."""

    class Full(FakeCheckpoints):
        def store(self, checkpoint: Checkpoint) -> None:
            del checkpoint
            raise UnavailableError("Postgres: not available")

    signer = FakeHeadSigner()
    log = SignedLog(fake_vault.audit, Full(signer.signing_key()), signer, lambda _: None)
    with pytest.raises(AuditError, match="could not be signed"), audited(log, reveal_request(None)):
        pass


@pytest.mark.parametrize("down", [False, True])
def test_a_failure_keeps_its_own_error(signed: Signed, down: bool) -> None:
    """A failure shows no value; its head is signed if possible."""
    signed.signer.down = down
    with pytest.raises(IntegrityError), audited(signed.log, reveal_request(None)):
        raise IntegrityError
    assert signed.entries()[-1] == ("failed", "integrity")
    assert len(signed.checkpoints.stored) == (0 if down else 1)


def test_an_access_needs_a_registered_key(signed: Signed) -> None:
    """An access without a registered key is refused before its intent."""
    signed.checkpoints.keys = []
    with (
        pytest.raises(ConfigurationError, match="no key is registered"),
        audited(signed.log, reveal_request(None)),
    ):
        pytest.fail("the block ran")
    assert signed.entries() == []


def test_a_change_of_keys_may_come_before_the_first_checkpoint(signed: Signed) -> None:
    """A vault's first keys are made before its audit begins, and no entry is signed then."""
    signed.checkpoints.keys = []
    with audited(signed.log, rotate_request()) as receipt:
        pass
    assert receipt.checkpoint is None
    assert signed.entries() == [("allowed", None), ("done", None)]


def test_a_denied_intent_is_signed() -> None:
    """A denied intent is an entry too, and may be the newest one."""

    class Denying:
        def intend(self, request: AuditRequest) -> AuditReceipt:
            del request
            raise PolicyDeniedError("the policy says no", hint="ask", seq=7, hash_=bytes(32))

        def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
            del receipt, error_code
            raise AssertionError

    signer = FakeHeadSigner()
    checkpoints = FakeCheckpoints(signer.signing_key())
    log = SignedLog(Denying(), checkpoints, signer, lambda _: None)
    with pytest.raises(PolicyDeniedError), audited(log, reveal_request(None)):
        pytest.fail("the block ran")
    assert [checkpoint.head for checkpoint in checkpoints.stored] == [Head(7, bytes(32))]
