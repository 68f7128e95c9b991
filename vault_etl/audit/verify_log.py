"""Prove the audit log in one pass to its end: chain, head, checkpoints, and what entries are bound to.

Every entry is judged by its own hash and by its link to the one before it, so that one change is
one problem, or two beside each other, and a second change further on is reported as well.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vault_etl.audit.chain import LoggedEntry, LogSnapshot, RecordedSegment, genesis
from vault_etl.audit.checkpoint import AuditKey, Head
from vault_etl.audit.entries import NOT_SIGNED, Action, Decision, Phase
from vault_etl.audit.proof import MAX_LISTED, Problems, Proof
from vault_etl.audit.segments.segment import StoredSegment
from vault_etl.audit.verify_entries import BOUND, BoundJudge, Pairs, sets
from vault_etl.audit.verify_notes import NEVER, KeptNote, NoteJudge
from vault_etl.crypto.digest import RunningSha256

_CHANGED: Final = "was changed: its hash is not that of its columns"


def verify_log(
    snapshot: LogSnapshot,
    keys: Sequence[AuditKey],
    kept: Sequence[KeptNote] = (),
    given: Sequence[StoredSegment] = (),
    begin: Head | None = None,
) -> Proof:
    """Check every entry, every stored checkpoint, and the checkpoints that were kept elsewhere.

    Entries that left the log are read from `given`, if it has them. A log that is not read from
    its first entry begins after `begin`, which nothing proves.
    """
    return _Pass(snapshot, keys, kept, given, begin).run()


class _Pass:
    def __init__(
        self,
        snapshot: LogSnapshot,
        keys: Sequence[AuditKey],
        kept: Sequence[KeptNote],
        given: Sequence[StoredSegment],
        begin: Head | None,
    ) -> None:
        self._snapshot = snapshot
        self._problems = problems = Problems()
        vaults = snapshot.vault_ids()
        vault_id = vaults[0] if len(vaults) == 1 else None
        if vault_id is None:
            problems.tampered(0, "does not name its vault: the table vault was changed")
        files = {segment.manifest.sha256: segment for segment in given}
        deleted = [segment for segment in snapshot.segments() if segment.is_deleted]
        self._left = [(row, files.pop(row.manifest_sha256 or b"", None)) for row in deleted]
        self._not_recorded(files.values(), deleted)
        notes = heapq.merge(
            itertools.chain.from_iterable(file.checkpoints() for _, file in self._left if file),
            snapshot.checkpoints(),
            key=lambda stored: stored.seq,
        )
        outside = [
            KeptNote(f"the manifest {one.location}", one.manifest.checkpoint) for one in given
        ]
        self._notes = NoteJudge(vault_id, keys, notes, [*kept, *outside], problems)
        bound = snapshot.bound()
        self._bound = None if bound is None else BoundJudge(vault_id, keys, bound, problems)
        self._pairs = Pairs(problems, whole=begin is None)
        self._genesis = None if vault_id is None else genesis(vault_id)
        self._last = begin or Head(0, self._genesis or b"")
        self._entries = self._unsigned_count = 0
        self._unsigned: list[int] = []
        self._unread: list[RecordedSegment] = []
        self._signed_since: int | None = None
        self._table = snapshot.entries()
        self._next = next(self._table, None)

    def run(self) -> Proof:
        """Walk the whole log."""
        self._notes.at(self._last)
        for row, file in self._left:
            self._segment(row, file)
        for entry in self._up_to(NEVER):
            self._judge(entry)
        self._notes.behind(self._last)
        if self._bound is not None:
            self._bound.behind()
        self._end_of_log()
        for seq in self._snapshot.wrong_amounts():
            self._problems.tampered(
                seq, "does not count for as many values as it says: audit_amounts was changed"
            )
        for key_id in self._snapshot.unexplained_keys():
            self._problems.tampered(
                0, f"does not explain key {key_id}: no entry made it what it is, or took it away"
            )
        return Proof(
            head=self._last,
            entries=self._entries,
            unread=self._unread,
            checkpoints=self._notes.good,
            unfinished=self._pairs.unfinished(),
            unsigned=self._unsigned,
            problems=self._problems.by_weight(),
            counts={
                **{str(kind): count for kind, count in self._problems.counts.items()},
                "unfinished": self._pairs.unfinished_count,
                "unsigned": self._unsigned_count,
            },
        )

    def _not_recorded(
        self, files: Iterable[StoredSegment], deleted: Sequence[RecordedSegment]
    ) -> None:
        """Report segments that were given for trimmed entries, and are not those on the record."""
        end = deleted[-1].last.seq if deleted else 0
        for file in files:
            if file.manifest.first <= end:
                what = f"left the log, and {file.location} is not the segment on the record"
                self._problems.unproven(file.manifest.first, what)

    def _up_to(self, seq: int) -> Iterator[LoggedEntry]:
        """Yield the table's next entries, up to this one."""
        while (entry := self._next) is not None and entry.seq <= seq:
            self._next = next(self._table, None)
            if entry.seq >= 1:
                yield entry
            else:
                self._entries += 1
                self._problems.tampered(0, f"has an entry that is numbered {entry.seq}")

    def _segment(self, row: RecordedSegment, file: StoredSegment | None) -> None:
        """Judge a segment whose entries left the table: by its files, or by the entries that stayed and the record."""
        if row.first != self._last.seq + 1 or row.prev_hash != self._last.hash:
            what = f"records a segment that does not continue entry {self._last.seq}"
            self._problems.tampered(row.seq, what)
            self._last = Head(row.first - 1, row.prev_hash or b"")
        digest, count = RunningSha256(), 0

        def stayed() -> Iterator[LoggedEntry]:
            nonlocal count
            for entry in self._up_to(row.last.seq):
                digest.update(struct.pack(">q", entry.seq) + (entry.hash or b""))
                count += 1
                yield entry

        if file is None:
            self._pass_over(row, stayed())
        else:
            self._read(row, file, stayed())
        if count != row.kept or digest.digest() != row.kept_sha256:
            self._problems.tampered(row.seq, "records other entries that stay than there are")

    def _read(
        self, row: RecordedSegment, file: StoredSegment, stayed: Iterator[LoggedEntry]
    ) -> None:
        tampered = self._problems.tampered
        kept = next(stayed, None)
        for entry in file.entries():
            if kept is not None and kept.seq == entry.seq:
                if kept != entry:
                    tampered(entry.seq, f"is another one in {file.location}")
                kept = next(stayed, None)
            self._judge(entry)
        if kept is not None:
            tampered(kept.seq, f"is not in {file.location}")
            collections.deque(stayed, maxlen=0)
        if self._last != row.last:
            tampered(row.seq, f"records another end of a segment than {file.location} has")
            self._last = row.last

    def _pass_over(self, row: RecordedSegment, stayed: Iterable[LoggedEntry]) -> None:
        """Judge the entries that stay, each alone, and enter the chain again at the segment's last entry."""
        for entry in stayed:
            self._entries += 1
            if entry.hash is None or entry.hash != entry.computed_hash():
                self._problems.tampered(entry.seq, _CHANGED)
            self._notes.pass_over(entry.seq - 1)
            self._notes.at(Head(entry.seq, entry.hash or b""))
            if self._bound is not None:
                self._bound.judge(entry)
            self._pairs.judge(entry, passed=sets(entry))
            self._note_unsigned(entry, signed=True)
        self._notes.pass_over(row.last.seq - 1)
        self._notes.at(row.last)
        if self._notes.proven != row.last.seq:
            what = "ends a segment that was not given, and no checkpoint of a given key signs it"
            self._problems.unproven(row.last.seq, what)
        self._last = row.last
        self._unread.append(row)

    def _judge(self, entry: LoggedEntry) -> None:
        """Judge the next entry of the chain."""
        self._entries += 1
        if self._is_next(entry):
            self._last = Head(entry.seq, entry.hash or b"")
        if entry.seq >= self._notes.due:
            self._notes.at(self._last)
        if self._bound is not None:
            self._bound.judge(entry)
        self._pairs.judge(entry)
        self._note_unsigned(entry, signed=self._notes.proven == entry.seq)

    def _is_next(self, entry: LoggedEntry) -> bool:
        """Judge an entry, and say whether the next one follows it."""
        seq, last, tampered = entry.seq, self._last, self._problems.tampered
        if seq <= last.seq:
            tampered(seq, "is there twice")
            return False
        linked = True
        if seq != last.seq + 1:
            tampered(last.seq + 1, f"is missing: entry {seq} follows {last.seq}")
        elif entry.prev_hash != last.hash and (seq > 1 or self._genesis is not None):
            linked = False
            tampered(
                seq,
                f"does not continue entry {last.seq}: one of the two was changed"
                if last.seq
                else "does not begin the log of this vault",
            )
        if linked and (entry.hash is None or entry.hash != entry.computed_hash()):
            tampered(seq, _CHANGED)
        return True

    def _note_unsigned(self, entry: LoggedEntry, *, signed: bool) -> None:
        if self._signed_since is None and entry.action == Action.KEY_REGISTER and sets(entry):
            self._signed_since = entry.seq
        elif (
            not signed
            and entry.decision == Decision.DONE
            and entry.phase == Phase.OUTCOME
            and self._signed_since is not None
            and entry.action not in BOUND
            and entry.action not in NOT_SIGNED
        ):
            self._unsigned_count += 1
            if len(self._unsigned) < MAX_LISTED:
                self._unsigned.append(entry.seq)

    def _end_of_log(self) -> None:
        last, heads, tampered = self._last, self._snapshot.heads(), self._problems.tampered
        if len(heads) != 1:
            tampered(last.seq, "is the last, and the log has lost its head")
        elif heads[0].seq > last.seq:
            tampered(last.seq + 1, f"is missing: the head is entry {heads[0].seq}")
        elif heads[0].seq < last.seq:
            tampered(heads[0].seq + 1, f"was added: the head is entry {heads[0].seq}")
        elif heads[0].hash != last.hash and (last.seq or self._genesis is not None):
            tampered(last.seq, "is not the head of the log: one of the two was changed")
