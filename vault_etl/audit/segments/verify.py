"""Prove segments of the audit log by their files alone, and compare a segment's end with the log."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.chain import LoggedEntry, LogSnapshot, RecordedSegment, StoredCheckpoint
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head
from vault_etl.audit.proof import Proof
from vault_etl.audit.segments.segment import MANIFEST, LogSpans, StoredSegment
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote
from vault_etl.base.errors import DataError


def verify_segments(
    given: Sequence[StoredSegment], keys: Sequence[AuditKey], kept: Sequence[KeptNote] = ()
) -> Proof:
    """Check every entry and every checkpoint, up to the last entry, which its manifest's checkpoint signs.

    The things that entries have set are in the database alone, and are not checked. Where the first segment
    does not begin with entry 1, nothing proves that the entries before it existed. Raises DataError unless
    each segment continues the one before it.
    """
    for before, after in itertools.pairwise(given):
        if after.manifest.first != before.manifest.last.seq + 1:
            message = (
                f"entries {before.manifest.last.seq + 1} to {after.manifest.first - 1} are in no"
                " segment that was given"
                if after.manifest.first > before.manifest.last.seq
                else f"{before.location} and {after.location} have entries in common"
            )
            raise DataError(message, hint="--segments takes each place once, and all of them")
    if not given:
        message = "there is no segment in that place"
        raise DataError(message, hint="`vault-etl audit export` writes them")
    first = given[0].manifest
    begin = None if first.first == 1 else Head(first.first - 1, first.prev_hash)
    return verify_log(_Files(given), keys, kept, given, begin)


class _Files(LogSnapshot):
    """The log as segments that continue each other; it has none of the rows that entries have set."""

    def __init__(self, given: Sequence[StoredSegment]) -> None:
        self._given = given

    @override
    def vault_ids(self) -> Sequence[uuid.UUID]:
        return sorted({segment.manifest.vault_id for segment in self._given})

    @override
    def heads(self) -> Sequence[Head]:
        return [self._given[-1].manifest.last]

    @override
    def entries(self) -> Iterator[LoggedEntry]:
        return itertools.chain.from_iterable(segment.entries() for segment in self._given)

    @override
    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        return itertools.chain.from_iterable(segment.checkpoints() for segment in self._given)

    @override
    def segments(self) -> Sequence[RecordedSegment]:
        return ()

    @override
    def bound(self) -> None:
        return

    @override
    def wrong_amounts(self) -> Iterator[int]:
        return iter(())

    @override
    def unexplained_keys(self) -> Iterator[int]:
        return iter(())


NOTHING_DELETED: Final = "nothing of it was deleted; `vault-etl audit verify` tells more"
"""A hint."""


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


_MICROSECOND: Final = dt.timedelta(microseconds=1)


def check_end(snapshot: LogSpans, keys: Sequence[AuditKey], segment: StoredSegment) -> None:
    """Raise DataError unless one of the keys signed the end, and the log has that entry, with that time.

    Any process that can write to the place can write manifests. The segment's other files are not checked here.
    """
    manifest = segment.manifest
    note = Checkpoint.parse(manifest.checkpoint)
    microseconds = (manifest.last_at - _EPOCH) // _MICROSECOND
    if list(snapshot.vault_ids()) != [manifest.vault_id]:
        problem = "it is of another vault"
    elif not any(key.signed(note) for key in keys):
        problem = "no key that was given signed its end"
    elif [(microseconds, manifest.last.hash)] != [
        (entry.microseconds, entry.hash)
        for entry in snapshot.entries_of((manifest.last.seq, manifest.last.seq))
    ]:
        problem = f"the log has another entry {manifest.last.seq}, or none"
    else:
        return
    message = f"{segment.location}{MANIFEST} is not of a segment of this log: {problem}"
    hint = "give the old audit key too, if a new key replaced it; else delete the file, or take another place"
    raise DataError(message, hint=hint)
