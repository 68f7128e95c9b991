"""Judge checkpoints entry by entry: those that are stored, and those that were kept elsewhere.

Any role that signs may store any 72 bytes as a signature, so a stored checkpoint means something
only if a given key signed it. Then it must agree with the chain.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.chain import LogSnapshot, StoredCheckpoint
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head
from vault_etl.audit.proof import Problems
from vault_etl.base.errors import IncompleteError

NEVER: Final = 2**63
"""A number greater than every `seq`."""

_ITS: Final = "its checkpoint"


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A signed note that was kept outside of the database, and its place."""

    place: str
    note: str


def refuse_newer(snapshot: LogSnapshot, kept: Sequence[KeptNote]) -> None:
    """Raise IncompleteError if a checkpoint is of an entry that a replica does not have yet: nothing was cut."""
    last = max((head.seq for head in snapshot.heads()), default=0)
    newest = max(map(_seq, kept), default=0)
    if newest > last:
        raise IncompleteError(
            f"the replica has the log up to entry {last}, and a checkpoint is of entry {newest}",
            hint="try again later; without VAULT_ETL_READ_URL the primary is read",
        )


def _seq(kept: KeptNote) -> int:
    try:
        return Checkpoint.parse(kept.note).head.seq
    except ValueError:  # the proof reports that as a problem of its own
        return 0


class NoteJudge:
    """Receives every head in turn, and compares it with the checkpoints that sign it.

    `due` is the lowest seq that a checkpoint waits for: below it there is nothing to judge.
    `good` counts the stored checkpoints that hold. `proven` is the newest entry that a checkpoint of a
    given key signs, wherever it was kept.
    """

    def __init__(
        self,
        vault_id: uuid.UUID | None,
        keys: Sequence[AuditKey],
        stored: Iterator[StoredCheckpoint],
        kept: Sequence[KeptNote],
        problems: Problems,
    ) -> None:
        self._vault_id = vault_id
        self._keys = keys
        self._stored = stored
        self._problems = problems
        self._kept = iter(sorted(self._proven(kept), key=lambda found: found[1].seq))
        self._next_stored = next(self._stored, None)
        self._next_kept = next(self._kept, None)
        self._seen = self._outside = 0
        self.good = self.proven = 0
        self.due = self._due()

    def at(self, head: Head) -> None:
        """Judge the checkpoints of this head, and those of entries before it that are missing."""
        self._judge(head, head.seq)

    def pass_over(self, up_to: int) -> None:
        """Skip the checkpoints of entries up to `up_to`, which are not read, so cannot be compared."""
        while (kept := self._next_kept) is not None and kept[1].seq <= up_to:
            self._outside += 1
            self._problems.unproven(
                kept[1].seq, f"is in a segment that was not given, and {kept[0]} signs it"
            )
            self._next_kept = next(self._kept, None)
        while (stored := self._next_stored) is not None and stored.seq <= up_to:
            self._problems.noise(stored.seq, "has a checkpoint, and left the log for a segment")
            self._next_stored = next(self._stored, None)
        self.due = self._due()

    def _judge(self, head: Head, up_to: int) -> None:
        while (kept := self._next_kept) is not None and kept[1].seq <= up_to:
            self._judge_kept(*kept, head)
            self._next_kept = next(self._kept, None)
        while (stored := self._next_stored) is not None and stored.seq <= up_to:
            self._judge_stored(stored, head)
            self._next_stored = next(self._stored, None)
        self.due = self._due()

    def behind(self, last: Head) -> None:
        """Judge the rest: checkpoints of missing entries were signed, so the end was cut."""
        self._judge(last, NEVER)
        if self._seen and not self.good and not self._outside:
            self._problems.unproven(0, "has checkpoints, and a key that was given signed none")

    def _proven(self, kept: Sequence[KeptNote]) -> Iterator[tuple[str, Head]]:
        """Yield the place, and the head, of each kept note that a given key signed for this vault."""
        for found in kept:
            name = f"the checkpoint in {found.place}"
            try:
                checkpoint = Checkpoint.parse(found.note)
            except ValueError as error:
                self._problems.unproven(0, f"is not proven by {name}: {error}")
                continue
            seq = checkpoint.head.seq
            if self._vault_id is not None and checkpoint.vault_id != self._vault_id:
                self._problems.unproven(seq, f"is of another vault than {name}")
            elif not any(key.signed(checkpoint) for key in self._keys):
                self._problems.unproven(seq, f"is signed by a key that was not given: {name}")
            else:
                yield name, checkpoint.head

    def _judge_kept(self, name: str, signed: Head, head: Head) -> None:
        self._outside += 1
        self._compare(signed, head, name)

    def _judge_stored(self, stored: StoredCheckpoint, head: Head) -> None:
        self._seen += 1
        if not is_signed(self._vault_id, self._keys, stored):
            who = f"stored by {stored.stored_by}"
            what = f"has a checkpoint that no key which was given signed, {who}"
            self._problems.noise(stored.seq, what)
        elif self._compare(Head(stored.seq, stored.hash or b""), head, _ITS):
            self.good += 1

    def _compare(self, signed: Head, head: Head, name: str) -> bool:
        """Say whether a head that a given key signed is `head`; report it as tampered otherwise."""
        if signed.seq > head.seq:
            name = "a checkpoint" if name == _ITS else name
            self._problems.tampered(head.seq + 1, f"is missing: {name} signs entry {signed.seq}")
        elif signed.seq < head.seq:
            self._problems.tampered(signed.seq, f"is missing: {name} signs it")
        elif signed.hash != head.hash:
            self._problems.tampered(signed.seq, f"is not the one that {name} signs")
        if signed != head:
            return False
        self.proven = signed.seq
        return True

    def _due(self) -> int:
        return min(
            NEVER if self._next_stored is None else self._next_stored.seq,
            NEVER if self._next_kept is None else self._next_kept[1].seq,
        )


def is_signed(
    vault_id: uuid.UUID | None, keys: Sequence[AuditKey], stored: StoredCheckpoint
) -> bool:
    """Say whether one of the keys signed the row's content, for this vault."""
    if vault_id is None or stored.hash is None:
        return False
    text = Checkpoint(vault_id, Head(stored.seq, stored.hash)).text.encode()
    signature = stored.signature or b""
    return any(key.hash == stored.key_hash and key.verifies(text, signature) for key in keys)
