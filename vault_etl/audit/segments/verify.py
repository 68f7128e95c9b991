"""Prove segments of the audit log by their files alone."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.proof import RecordedSegment, StoredCheckpoint
from vault_etl.audit.segments.store import StoredSegment
from vault_etl.audit.signing_key import AuditKey
from vault_etl.audit.verify_log import Proof, verify_log
from vault_etl.audit.verify_notes import KeptNote
from vault_etl.base.errors import DataError


def verify_segments(
    given: Sequence[StoredSegment], keys: Sequence[AuditKey], kept: Sequence[KeptNote] = ()
) -> Proof:
    """Check every entry and every checkpoint, up to the last entry, which its manifest's checkpoint signs.

    What entries have set is in the database alone, and is not looked at. Where the first segment begins
    with another entry than 1, nothing proves that those before it were there. Raises DataError unless
    each continues the one before it.
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
        message = "there is no segment there"
        raise DataError(message, hint="`vault-etl audit export` writes them")
    first = given[0].manifest
    begin = None if first.first == 1 else Head(first.first - 1, first.prev_hash)
    return verify_log(_Files(given), keys, kept, given, begin)


class _Files:
    """`LogSnapshot` of segments that continue each other."""

    def __init__(self, given: Sequence[StoredSegment]) -> None:
        self._given = given

    def vault_ids(self) -> Sequence[uuid.UUID]:
        """See `LogSnapshot.vault_ids`."""
        return sorted({segment.manifest.vault_id for segment in self._given})

    def heads(self) -> Sequence[Head]:
        """See `LogSnapshot.heads`."""
        return [self._given[-1].manifest.last]

    def entries(self) -> Iterator[LoggedEntry]:
        """See `LogSnapshot.entries`."""
        return itertools.chain.from_iterable(segment.entries() for segment in self._given)

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """See `LogSnapshot.checkpoints`."""
        return itertools.chain.from_iterable(segment.checkpoints() for segment in self._given)

    def segments(self) -> Sequence[RecordedSegment]:
        """See `LogSnapshot.segments`: none."""
        return ()

    def bound(self) -> None:
        """See `LogSnapshot.bound`: they are not there."""

    def wrong_amounts(self) -> Iterator[int]:
        """See `LogSnapshot.wrong_amounts`: none."""
        return iter(())

    def unexplained_keys(self) -> Iterator[int]:
        """See `LogSnapshot.unexplained_keys`: none."""
        return iter(())
