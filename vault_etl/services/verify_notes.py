"""Judge checkpoints, those that are stored and those that were kept elsewhere, entry by entry."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Checkpoint, Head
from vault_etl.ports.audit_proof import StoredNote


@dataclass(frozen=True, slots=True)
class Problem:
    """The first bad `seq`, and what is wrong with the entry or its checkpoint."""

    seq: int
    what: str

    def __str__(self) -> str:
        return f"entry {self.seq} {self.what}"


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A checkpoint that was kept outside of the database, and where."""

    place: str
    checkpoint: Checkpoint


class NoteJudge:
    """Is told of every head in turn, and compares it with the checkpoints that sign it.

    `good` counts the stored ones that hold.
    """

    def __init__(
        self,
        vault_id: uuid.UUID,
        keys: Sequence[AuditKey],
        stored: Iterator[StoredNote],
        kept: Sequence[KeptNote],
    ) -> None:
        self._vault_id = vault_id
        self._keys = keys
        self._stored = stored
        self._next = next(stored, None)
        self._kept = sorted(kept, key=lambda note: note.checkpoint.head.seq)
        self.good = 0

    def at(self, head: Head) -> Iterator[Problem]:
        """What is wrong with the checkpoints of this head, of which there may be several."""
        while self._next is not None and self._next.seq <= head.seq:
            yield from self._judge_stored(self._next, head)
            self.good += 1
            self._next = next(self._stored, None)
        while self._kept and self._kept[0].checkpoint.head.seq <= head.seq:
            note = self._kept.pop(0)
            yield from self._judge(note.checkpoint, head, f"the checkpoint in {note.place}")

    def behind(self, last: Head) -> Iterator[Problem]:
        """Checkpoints of entries that are not there: the end of the log was cut."""
        if self._next is not None:
            signed = f"a checkpoint signs entry {self._next.seq}"
            yield Problem(last.seq + 1, f"is missing: {signed}")
        for note in self._kept:
            signed = f"the checkpoint in {note.place} signs entry {note.checkpoint.head.seq}"
            yield Problem(last.seq + 1, f"is missing: {signed}")

    def _judge_stored(self, stored: StoredNote, head: Head) -> Iterator[Problem]:
        try:
            checkpoint = Checkpoint.parse(stored.note)
        except ValueError:
            yield Problem(stored.seq, "has a checkpoint that is no signed note")
            return
        if checkpoint.head != Head(stored.seq, stored.hash):
            yield Problem(stored.seq, f"has a checkpoint of another one: {checkpoint.head.seq}")
        yield from self._judge(checkpoint, head, "its checkpoint")

    def _judge(self, checkpoint: Checkpoint, head: Head, name: str) -> Iterator[Problem]:
        seq = checkpoint.head.seq
        if checkpoint.vault_id != self._vault_id:
            yield Problem(seq, f"is of another vault than {name}")
        if not any(key.signed(checkpoint) for key in self._keys):
            yield Problem(seq, f"is signed by a key that was not given: {name}")
        if checkpoint.head != head:
            yield Problem(seq, f"is not the one that {name} signs")
