"""An entry of the log is signed within a day, by a key that is registered."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field, replace

import pytest
from typing_extensions import override

from tests.kit.fakes.checkpoints import VAULT_ID, FakeCheckpoints, FakeHeadSigner
from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.signing import sign_head
from vault_etl.doctor import audit
from vault_etl.doctor.audit import SignedState, Unsigned

DAY = dt.timedelta(days=1)
MOMENT = dt.timedelta(seconds=1)
HEAD = Head(7, bytes(32))


@dataclass
class FakeSignedState(SignedState):
    """The given state of the audit log."""

    found: Unsigned
    registered: list[tuple[int, str]] = field(default_factory=list)
    stored: list[StoredCheckpoint] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    @override
    def registrations(self) -> list[tuple[int, str]]:
        return self.registered

    @override
    def checkpoints(self) -> tuple[uuid.UUID, list[StoredCheckpoint]]:
        return VAULT_ID, self.stored

    @override
    def unsigned(self, signed_seq: int) -> Unsigned:
        self.asked.append(signed_seq)
        return self.found


def stored(signer: FakeHeadSigner, head: Head) -> StoredCheckpoint:
    """Return a checkpoint of this head by this signer."""
    checkpoint = sign_head(head, FakeCheckpoints(), signer, [signer.signing_key()])
    (line,) = checkpoint.signatures
    return StoredCheckpoint(head.seq, head.hash, line.key_hash, line.signature, "x")


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        (Unsigned(entries=0, oldest=None), True),
        (Unsigned(entries=2, oldest=DAY), True),
        (Unsigned(entries=2, oldest=DAY + MOMENT), False),
    ],
)
def test_entries_may_wait_for_a_day(found: Unsigned, ok: bool) -> None:
    """A log without a signature is a fault a day after its first entry, not before."""
    verdict = audit.signed(FakeSignedState(found), FakeHeadSigner().signing_key)
    assert verdict.ok is ok
    assert ("audit checkpoint" in str(verdict.hint)) is not ok


def test_a_checkpoint_of_another_key_does_not_count() -> None:
    """Every role that signs may store a checkpoint: the newest checkpoint of the key itself counts."""
    signer, other = FakeHeadSigner(), FakeHeadSigner()
    good = stored(signer, HEAD)
    noise = [stored(other, replace(HEAD, seq=9)), replace(good, seq=8), replace(good, hash=None)]
    state = FakeSignedState(
        Unsigned(2, DAY), stored=[*noise, good, stored(signer, Head(3, bytes(32)))]
    )
    audit.signed(state, signer.signing_key)
    assert state.asked == [7]


def test_a_key_that_is_not_registered_is_a_fault() -> None:
    """Other registrations do not help; beside the right one they are named and do no harm."""
    signer, other = FakeHeadSigner(), FakeHeadSigner()
    rows = [(5, other.registration(VAULT_ID, HEAD).note), (3, "vault-etl/audit-key/x"), (1, "")]
    bad = audit.registered(FakeSignedState(Unsigned(0, None), rows), signer.signing_key)
    assert bad.ok is False
    assert "--new-key" in str(bad.hint)
    rows.append((9, signer.registration(VAULT_ID, HEAD).note))
    good = audit.registered(FakeSignedState(Unsigned(0, None), rows), signer.signing_key)
    assert good.ok
    assert "3 registrations are of other keys: entry 1, 3, 5" in good.detail
    only = audit.registered(FakeSignedState(Unsigned(0, None), rows[-1:]), signer.signing_key)
    assert only.detail == "registered"


def test_before_the_first_checkpoint_no_key_is_registered() -> None:
    """The verdict names the command that registers it."""
    verdict = audit.registered(FakeSignedState(Unsigned(0, None)), FakeHeadSigner().signing_key)
    assert verdict.ok
    assert "audit checkpoint" in verdict.detail
