"""Checks of the audit log: the key is registered, the head is signed, and no session blocks the log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.audit.checkpoint import Registration
from vault_etl.audit.signing import SigningKey
from vault_etl.audit.verify_notes import is_signed
from vault_etl.doctor.diagnose import Verdict

MAX_UNSIGNED: Final = dt.timedelta(days=1)
"""The longest time that an entry may lack a checkpoint after it."""

MAX_HELD_S: Final = 2.0
"""The longest time in seconds; normally a session holds the turn from an entry to its COMMIT, for milliseconds."""

_SHOWN: Final = 5
_HINT: Final = "`vault-etl audit checkpoint` with the role audit, on a timer"


@dataclass(frozen=True, slots=True)
class TurnHolder:
    """The session that holds the turn to write the audit log."""

    pid: int
    login: str
    seconds: float
    """Time since its transaction began: the turn is held for this long at most."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn to write the audit log."""

    holder: TurnHolder | None
    visible: bool
    """True if the database may tell since when a session holds the turn."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The entries of the audit log that no checkpoint covers."""

    entries: int
    oldest: dt.timedelta | None
    """Age of the first of these entries."""


class SignedState(Protocol):
    """Reads the signed part of the audit log, for the role audit. Its content is not trusted."""

    def registrations(self) -> Sequence[tuple[int, str]]:
        """Return each registration of a signing key: seq of its entry and the note, the newest first."""

    def checkpoints(self) -> tuple[uuid.UUID | None, Sequence[StoredCheckpoint]]:
        """Return the vault's id, if it has one, and the newest checkpoints: 300 at most."""

    def unsigned(self, signed_seq: int) -> Unsigned:
        """Return the entries after the entry `signed_seq`."""


def turn(found: Turn) -> Verdict:
    """Check that no session keeps others from writing, and that such a session would be seen."""
    holder = found.holder
    if holder is not None and holder.seconds > MAX_HELD_S:
        return Verdict.bad(
            f"held by {holder.login} (pid {holder.pid}) for up to {holder.seconds:.0f} s",
            f"as a superuser: SELECT pg_terminate_backend({holder.pid})",
        )
    if not found.visible:
        return Verdict.bad(
            "a session that keeps others from writing would not be seen",
            "GRANT pg_read_all_stats TO vault_etl_owner WITH INHERIT TRUE, as a superuser",
        )
    return Verdict.good("no session keeps others from writing")


def registered(state: SignedState, signing_key: Callable[[], SigningKey]) -> Verdict:
    """Check that the key in KMS is registered. Other registrations are reported; they do no harm."""
    vault_id, _ = state.checkpoints()
    rows = state.registrations()
    if not rows:
        return Verdict.good("no key is registered yet: `vault-etl audit checkpoint` does that")
    key = signing_key()
    others = [seq for seq, note in rows if not _is_of(key, vault_id, note)]
    if len(others) == len(rows):
        return Verdict.bad(
            "the key in KMS is not registered",
            "is VAULT_ETL_AUDIT_KEY right? then `vault-etl audit checkpoint --new-key`",
        )
    if others:
        return Verdict.good(
            f"registered; {len(others)} registrations are of other keys: {_few(others)}"
        )
    return Verdict.good("registered")


def signed(state: SignedState, signing_key: Callable[[], SigningKey]) -> Verdict:
    """Check that no entry has been waiting for a checkpoint of this key for more than a day.

    Every role that signs may store a checkpoint, so a checkpoint that this key did not sign does not count.
    """
    vault_id, stored = state.checkpoints()
    keys = [signing_key().key] if stored else []
    seqs = (found.seq for found in stored if is_signed(vault_id, keys, found))
    found = state.unsigned(next(seqs, 0))
    oldest = None if found.oldest is None else int(found.oldest.total_seconds())
    values = {"unsigned_entries": found.entries, "oldest_unsigned_seconds": oldest}
    if found.oldest is not None and found.oldest > MAX_UNSIGNED:
        detail = f"{found.entries} entries are not signed, the oldest for {found.oldest.days} days"
        return Verdict.bad(detail, _HINT, **values)
    if found.entries:
        return Verdict.good(f"{found.entries} entries since the last checkpoint", **values)
    return Verdict.good("signed to its head", **values)


def _is_of(key: SigningKey, vault_id: uuid.UUID | None, note: str) -> bool:
    if vault_id is None:
        return False
    try:
        found = Registration.parse(note)
    except ValueError:
        return False
    return (
        found.kms_key_arn == key.kms_key_arn
        and found.key.spki == key.key.spki
        and found.holds(vault_id)
    )


def _few(seqs: list[int]) -> str:
    shown = ", ".join(str(seq) for seq in sorted(seqs)[:_SHOWN])
    return f"entry {shown}" + (" and more" if len(seqs) > _SHOWN else "")
