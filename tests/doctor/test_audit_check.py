"""An entry of the log is signed within a day, by a key that is registered."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field, replace

import pytest

from tests.kit.fakes.checkpoints import VAULT_ID, FakeCheckpoints, FakeHeadSigner
from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.signing import sign_head
from vault_etl.doctor.checks import audit
from vault_etl.doctor.views import Unsigned

DAY = dt.timedelta(days=1)
MOMENT = dt.timedelta(seconds=1)
HEAD = Head(7, bytes(32))


@dataclass
class State:
    """`SignedState` as a test says."""

    found: Unsigned
    registered: list[tuple[int, str]] = field(default_factory=list)
    stored: list[StoredCheckpoint] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def registrations(self) -> list[tuple[int, str]]:
        """See `SignedState.registrations`."""
        return self.registered

    def checkpoints(self) -> tuple[uuid.UUID, list[StoredCheckpoint]]:
        """See `SignedState.checkpoints`."""
        return VAULT_ID, self.stored

    def unsigned(self, signed_seq: int) -> Unsigned:
        """See `SignedState.unsigned`."""
        self.asked.append(signed_seq)
        return self.found


def stored(signer: FakeHeadSigner, head: Head) -> StoredCheckpoint:
    """A head, signed."""
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
    """A log that nobody signs is a fault a day after its first entry, not before."""
    verdict = audit.signed(State(found), FakeHeadSigner().signing_key)
    assert verdict.ok is ok
    assert ("audit checkpoint" in str(verdict.hint)) is not ok


def test_what_another_key_signed_is_not_signed() -> None:
    """Any role that signs stores what it likes: the newest checkpoint of the key itself counts."""
    signer, other = FakeHeadSigner(), FakeHeadSigner()
    good = stored(signer, HEAD)
    rubbish = [stored(other, replace(HEAD, seq=9)), replace(good, seq=8), replace(good, hash=None)]
    state = State(Unsigned(2, DAY), stored=[*rubbish, good, stored(signer, Head(3, bytes(32)))])
    audit.signed(state, signer.signing_key)
    assert state.asked == [7]


def test_a_key_that_is_not_registered_is_a_fault() -> None:
    """Whatever else is; beside the right one, others are named and do no harm."""
    signer, other = FakeHeadSigner(), FakeHeadSigner()
    rows = [(5, other.registration(VAULT_ID, HEAD).note), (3, "vault-etl/audit-key/x"), (1, "")]
    bad = audit.registered(State(Unsigned(0, None), rows), signer.signing_key)
    assert bad.ok is False
    assert "--new-key" in str(bad.hint)
    rows.append((9, signer.registration(VAULT_ID, HEAD).note))
    good = audit.registered(State(Unsigned(0, None), rows), signer.signing_key)
    assert good.ok
    assert "3 registrations are not of it: entry 1, 3, 5" in good.detail
    only = audit.registered(State(Unsigned(0, None), rows[-1:]), signer.signing_key)
    assert only.detail == "registered"


def test_before_the_first_checkpoint_none_is_registered() -> None:
    """It says which command does that."""
    verdict = audit.registered(State(Unsigned(0, None)), FakeHeadSigner().signing_key)
    assert verdict.ok
    assert "audit checkpoint" in verdict.detail
