"""Quarantine, in memory: what is known of its rows, and the way out."""

from __future__ import annotations

import collections
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from tests.fakes.database import FakeDatabase
from tests.fakes.record_loader import FakeRecordLoader
from vault_etl.core.fields import Field
from vault_etl.errors import IncompleteError
from vault_etl.ports.quarantine import Moved, QuarantinedCount, QuarantinedRow, Release
from vault_etl.ports.record_store import (
    KeysChanged,
    Loaded,
    MonthGone,
    RowsRefused,
    SealedValue,
    WriteKeys,
)


class FakeQuarantine:
    """`QuarantineReader` and `QuarantineMover` in memory. What `loader` refuses, a move refuses."""

    def __init__(self, database: FakeDatabase, loader: FakeRecordLoader) -> None:
        self._database = database
        self._loader = loader

    def rows(
        self,
        *,
        reason_code: str | None = None,
        since: dt.datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[QuarantinedRow]:
        """See `QuarantineReader.rows`."""
        found = sorted(
            (
                row
                for row in map(self.row, self._database.quarantine)
                if row
                and reason_code in {None, row.reason_code}
                and (since is None or row.quarantined_at >= since)
            ),
            key=lambda row: (row.quarantined_at, row.record_id),
        )
        return iter(found if limit is None else found[-limit:])

    def counts(
        self, *, reason_code: str | None = None, since: dt.datetime | None = None
    ) -> Sequence[QuarantinedCount]:
        """See `QuarantineReader.counts`."""
        groups = collections.defaultdict(list)
        for row in self.rows(reason_code=reason_code, since=since):
            groups[row.reason_code, row.path].append(row.quarantined_at)
        counts = [QuarantinedCount(*key, len(times), max(times)) for key, times in groups.items()]
        return sorted(counts, key=lambda count: (-count.count, count.reason_code, count.path))

    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        """See `QuarantineReader.row`."""
        found = self._database.quarantine.get(record_id)
        if found is None:
            return None
        moment = self._database.quarantined_at[record_id]
        return QuarantinedRow(
            record_id, found.reason.value, found.path, found.receive_count, moment
        )

    def bodies(
        self, only: Sequence[uuid.UUID] | None, after: uuid.UUID | None, limit: int
    ) -> Sequence[SealedValue]:
        """See `QuarantineMover.bodies`."""
        found = [
            SealedValue(Field.QUARANTINE, record_id, "", rejection.body_ciphertext)
            for record_id, rejection in sorted(self._database.quarantine.items())
            if record_id not in self._database.erased_bodies
            and (only is None or record_id in only)
            and (after is None or record_id > after)
        ]
        return found[:limit]

    def move(
        self, releases: Sequence[Release], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        """See `QuarantineMover.move`."""
        unchanged = [r for r in releases if r.body in self.bodies([r.body.record_id], None, 1)]
        loaded = self._loader.load([r.record for r in unchanged], [], keys)
        if isinstance(loaded, MonthGone):
            raise IncompleteError("a record has no partition to go to")
        if not isinstance(loaded, Loaded):
            return loaded
        for release in unchanged:
            del self._database.quarantine[release.body.record_id]
        return Moved(frozenset(release.body.record_id for release in unchanged))
