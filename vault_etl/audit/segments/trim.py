"""Delete entries of the audit log that are in segments: each segment is read back, proven and compared first."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.audit.checkpoint import AuditKey, Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.segments.segment import LogSpans, SegmentManifest, StoredSegment
from vault_etl.audit.segments.verify import NOTHING_DELETED, check_end, verify_segments
from vault_etl.base.errors import DataError
from vault_etl.platform.clock import Progress


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A segment, the number of its entries that stay, and of those deleted or, in a dry run, to be deleted.

    `later` checkpoints of its entries were stored after the export, and are deleted too. `is_young`: its
    last entry is younger than the limit, so the segment is left as it is, and nothing is counted.
    """

    segment: StoredSegment
    kept: int
    deleted: int
    later: int = 0
    is_young: bool = False


class TrimLog:
    """Runs `audit trim`, for the owner's login."""

    def __init__(self, trimmer: LogTrimmer, keys: Sequence[AuditKey], progress: Progress) -> None:
        self._trimmer = trimmer
        self._keys = keys
        self._progress = progress

    def __call__(
        self,
        stored: Sequence[StoredSegment],
        before: dt.datetime,
        request: Callable[[], AuditRequest] | None,
    ) -> Iterator[Trimmed]:
        """Trim each segment that continues the last one on the record, and yield it when it is done.

        Without `request` nothing is changed. A segment that is on the record but was not deleted, since a
        run was interrupted, is deleted. Raises DataError for a segment that differs from the log.
        """
        with self._trimmer.snapshot() as snapshot:
            recorded = snapshot.segments()
        known = {row.manifest_sha256: row for row in recorded}
        last = recorded[-1].last.seq if recorded else 0
        for segment in stored:
            manifest = segment.manifest
            row = known.get(manifest.sha256)
            if row is not None and row.is_deleted:
                continue
            if row is None and manifest.first != last + 1:
                continue
            if row is None:
                with self._trimmer.snapshot() as snapshot:
                    check_end(snapshot, self._keys, segment)
            if row is None and manifest.last_at >= before:
                yield Trimmed(segment, kept=0, deleted=0, is_young=True)
                return
            kept = self._trimmer.kept(manifest.first, manifest.last.seq)
            later = self._compare(segment)
            if request is None:
                deleted = manifest.entries.rows - kept
            else:
                if row is None:
                    self._trimmer.add(request(), manifest, segment.location)
                deleted = self._trimmer.delete(manifest.last.seq)
            last = manifest.last.seq
            yield Trimmed(segment, kept, deleted, later)

    def _compare(self, segment: StoredSegment) -> int:
        """Raise DataError unless the segment holds, and the table has all of it, column for column.

        Returns how many checkpoints of its entries the table has besides those.
        """
        manifest = segment.manifest
        proof = verify_segments([segment], self._keys)
        if proof.problem is not None or proof.head != manifest.last:
            message = f"{segment.location} does not hold: {proof.problem}"
            raise DataError(message, hint=NOTHING_DELETED)
        first, last = manifest.first, manifest.last.seq
        with self._trimmer.snapshot() as snapshot:
            # An empty log's checkpoint is in the first segment; those of the last entry are in no segment, and stay.
            table = snapshot.checkpoints_of((first if first > 1 else 0, last - 1))
            notes = NotesInTable(segment, table)
            notes.at(Head(first - 1, manifest.prev_hash))
            pairs = itertools.zip_longest(segment.entries(), snapshot.entries_of((first, last)))
            for seq, (one, other) in enumerate(pairs, start=first):
                if one is None or one != other:
                    message = f"entry {seq} of {segment.location} is not as the table has it"
                    raise DataError(message, hint=NOTHING_DELETED)
                notes.at(Head(seq, one.hash or b""))
                self._progress.advance(1)
            notes.end()
        return notes.more


class NotesInTable:
    """Receives every head of a segment in turn, and compares its checkpoints with those in the table.

    Any role that signs stores checkpoints of old entries too, so the table may have more of them, each with
    the hash of its entry. `more` counts these.
    """

    def __init__(self, segment: StoredSegment, table: Iterator[StoredCheckpoint]) -> None:
        self._segment = segment
        self._files = segment.checkpoints()
        self._table = table
        self._next_file = next(self._files, None)
        self._next = next(self._table, None)
        self.more = 0

    def at(self, head: Head) -> None:
        """Compare the checkpoints of this head. Raises DataError."""
        while (stored := self._next) is not None and stored.seq <= head.seq:
            if stored == self._next_file:
                self._next_file = next(self._files, None)
            elif (stored.seq, stored.hash) == (head.seq, head.hash):
                self.more += 1
            else:
                message = f"the table has a checkpoint of another entry {stored.seq} than itself"
                raise DataError(message, hint=NOTHING_DELETED)
            self._next = next(self._table, None)

    def end(self) -> None:
        """Raise DataError if the file has a checkpoint that the table does not have."""
        if self._next_file is not None:
            name = f"a checkpoint of entry {self._next_file.seq} in {self._segment.location}"
            raise DataError(f"{name} is not in the table", hint=NOTHING_DELETED)


class LogTrimmer(Protocol):
    """May delete entries that are in a segment (the owner's login)."""

    def snapshot(self) -> AbstractContextManager[LogSpans]:
        """Yield the log as it is now."""

    def kept(self, first: int, last: int) -> int:
        """Return the number of entries of this span that stay."""

    def add(self, request: AuditRequest, manifest: SegmentManifest, location: str) -> None:
        """Put a segment on the record. Raises IncompleteError if it does not continue the last one."""

    def delete(self, last: int) -> int:
        """Delete the entries of the recorded segment that ends with `last`; return their number."""
