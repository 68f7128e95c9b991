"""Delete entries of the audit log that are in segments: each is read back, proven and compared before."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.segments.check import NOTHING_DELETED, NotesInTable, check_end
from vault_etl.audit.segments.store import LogTrimmer, StoredSegment
from vault_etl.audit.segments.verify import verify_segments
from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import DataError
from vault_etl.platform.clock import Progress


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A segment, how many of its entries stay, and how many were deleted or, in a dry run, would be.

    `later` checkpoints of its entries were stored after the export, and go too. `is_young` says that its
    last entry is younger than was asked: it is left as it is, and nothing is counted.
    """

    segment: StoredSegment
    kept: int
    deleted: int
    later: int = 0
    is_young: bool = False


class TrimLog:
    """`audit trim`, for the owner's login."""

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
        """Each segment that continues the last one on the record, done before it is returned.

        Without `request` nothing is changed. One that is on the record and was not deleted, since a run
        was interrupted, is deleted. Raises DataError, for a segment that is not what the log says.
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

        How many checkpoints of its entries the table has beside those.
        """
        manifest = segment.manifest
        proof = verify_segments([segment], self._keys)
        if proof.problem is not None or proof.head != manifest.last:
            message = f"{segment.location} does not hold: {proof.problem}"
            raise DataError(message, hint=NOTHING_DELETED)
        first, last = manifest.first, manifest.last.seq
        with self._trimmer.snapshot() as snapshot:
            # That of an empty log is in the first segment; those of the last entry are in none, and stay.
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
