"""Delete entries of the audit log that are in segments: each is read back, proven and compared before."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vault_etl.core.audit import AuditRequest
from vault_etl.core.audit_key import AuditKey
from vault_etl.errors import DataError
from vault_etl.ports.audit_segments import LogTrimmer, StoredSegment
from vault_etl.ports.progress import Progress
from vault_etl.services.verify_segments import verify_segments

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A segment, how many of its entries stay, and how many were deleted or, in a dry run, would be.

    `is_young` says that its last entry is younger than was asked: it is left as it is.
    """

    segment: StoredSegment
    kept: int
    deleted: int
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
            kept = self._trimmer.kept(manifest.first, manifest.last.seq)
            if row is None and manifest.last_at >= before:
                yield Trimmed(segment, kept, 0, is_young=True)
                return
            self._compare(segment)
            if request is None:
                deleted = manifest.entries.rows - kept
            else:
                if row is None:
                    self._trimmer.add(request(), manifest, segment.location)
                deleted = self._trimmer.delete(manifest.last.seq)
            last = manifest.last.seq
            yield Trimmed(segment, kept, deleted)

    def _compare(self, segment: StoredSegment) -> None:
        """Raise DataError unless the segment holds, and is what the table has, column for column."""
        manifest = segment.manifest
        proof = verify_segments([segment], self._keys)
        if proof.problem is not None or proof.head != manifest.last:
            message = f"{segment.location} does not hold: {proof.problem}"
            raise DataError(
                message, hint="nothing was deleted; `vault-etl audit verify` tells more"
            )
        span = (manifest.first, manifest.last.seq)
        with self._trimmer.snapshot() as snapshot:
            self._equal(segment, "entry", segment.entries(), snapshot.entries_of(span))
            ends = snapshot.ends((span[1], span[1]), dt.datetime.max.replace(tzinfo=dt.UTC))
            if manifest.last_at not in {end.logged_at for end in ends}:
                message = f"{segment.location} says another time than its last entry"
                raise DataError(message, hint="nothing was deleted; export the segment again")
        of_notes = (span[0] if span[0] > 1 else 0, span[1] - 1)
        with self._trimmer.snapshot() as snapshot:
            self._equal(
                segment, "checkpoint", segment.checkpoints(), snapshot.checkpoints_of(of_notes)
            )

    def _equal(
        self, segment: StoredSegment, name: str, files: Iterator[Row], table: Iterator[Row]
    ) -> None:
        for number, (one, other) in enumerate(itertools.zip_longest(files, table), start=1):
            if one != other:
                message = f"{name} {number} of {segment.location} is not as the table has it"
                raise DataError(message, hint="nothing was deleted; export the segment again")
            self._progress.advance(1)
