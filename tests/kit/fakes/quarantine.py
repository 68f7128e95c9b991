"""Quarantine, in memory: what is known of its rows, and the way out."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from typing_extensions import override

from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.record_loader import FakeRecordLoader
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.quarantine.discard import Discarded, MatchingMessages, QuarantineDiscarder
from vault_etl.quarantine.mover import Moved, QuarantineMover, RestoredMessage
from vault_etl.quarantine.read import (
    EVERY_ROW,
    QuarantinedBody,
    QuarantinedCount,
    QuarantinedRow,
    QuarantineFilter,
    QuarantineReader,
    RetryFilter,
)
from vault_etl.records.fenced_writes import (
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
)


class FakeQuarantine(QuarantineReader, QuarantineMover):
    """`QuarantineReader` and `QuarantineMover` in memory. What `loader` refuses, a move refuses."""

    def __init__(self, database: FakeDatabase, loader: FakeRecordLoader) -> None:
        self._database = database
        self._loader = loader

    @override
    def rows(
        self, wanted: QuarantineFilter = EVERY_ROW, *, limit: int | None = None
    ) -> Iterator[QuarantinedRow]:
        found = sorted(
            (
                row
                for row in map(self.row, self._database.quarantine)
                if row
                and wanted.reason_code in {None, row.reason_code}
                and (wanted.since is None or row.quarantined_at >= wanted.since)
                and (wanted.until is None or row.quarantined_at < wanted.until)
                and wanted.source in {None, str(row.source_id or "queue")}
            ),
            key=lambda row: (row.quarantined_at, row.record_id),
        )
        return iter(found if limit is None else found[-limit:])

    @override
    def counts(self, wanted: QuarantineFilter = EVERY_ROW) -> Sequence[QuarantinedCount]:
        groups = collections.defaultdict(list)
        for row in self.rows(wanted):
            groups[row.reason_code, row.path, row.source_id].append(row.quarantined_at)
        midnight = self._database.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        yesterday = midnight - dt.timedelta(days=1)
        counts = [
            QuarantinedCount(
                *key,
                len(times),
                min(times),
                max(times),
                sum(time >= midnight for time in times),
                sum(yesterday <= time < midnight for time in times),
            )
            for key, times in groups.items()
        ]
        return sorted(counts, key=lambda count: (-count.count, count.reason_code, count.path))

    @override
    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        found = self._database.quarantine.get(record_id)
        if found is None:
            return None
        moment = self._database.quarantined_at[record_id]
        return QuarantinedRow(
            record_id, found.reason.value, found.path, found.receive_count, moment, found.source_id
        )

    @override
    def bodies(
        self, wanted: RetryFilter, after: uuid.UUID | None, limit: int
    ) -> Sequence[QuarantinedBody]:
        found = [
            QuarantinedBody(
                record_id, rejection.body_ciphertext, rejection.source_id, rejection.queue
            )
            for record_id, rejection in sorted(self._database.quarantine.items())
            if record_id not in self._database.erased_bodies
            and (wanted.only is None or record_id in wanted.only)
            and wanted.reason_code in {None, rejection.reason.value}
            and (after is None or record_id > after)
        ]
        return found[:limit]

    @override
    def move(
        self, releases: Sequence[RestoredMessage], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        unchanged = [
            r for r in releases if r.body in self.bodies(RetryFilter([r.body.record_id]), None, 1)
        ]
        loaded = self._loader.load([r.record for r in unchanged], [], keys)
        if isinstance(loaded, MonthUnattached):
            raise IncompleteError("no partition exists for a record")
        if not isinstance(loaded, Loaded):
            return loaded
        for release in unchanged:
            del self._database.quarantine[release.body.record_id]
        return Moved(frozenset(release.body.record_id for release in unchanged))


class FakeQuarantineDiscarder(QuarantineDiscarder):
    """`QuarantineDiscarder` in memory, `batch` at a time."""

    def __init__(self, database: FakeDatabase, reader: FakeQuarantine, batch: int = 1_000) -> None:
        self._database = database
        self._reader = reader
        self._batch = batch
        self._log = FakeAuditLog(database, login="eraser")

    @override
    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> MatchingMessages:
        times = [row.quarantined_at for row in self._rows(wanted, record_ids)]
        until = wanted.until
        if wanted.older_than is not None:
            until = self._database.clock.now() - wanted.older_than
        return MatchingMessages(
            len(times), min(times, default=None), max(times, default=None), until
        )

    @override
    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        rows = self._rows(wanted, record_ids)[: self._batch]
        if not rows:
            return None
        one = rows[0].record_id if len(rows) == 1 else None
        receipt = self._log.intend(dataclasses.replace(request, record_id=one))
        for row in rows:
            del self._database.quarantine[row.record_id]
        receipt.outcome = f"discarded messages: {len(rows)}"
        return Discarded(len(rows), rows[-1].quarantined_at, self._log.conclude(receipt))

    def _rows(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> Sequence[QuarantinedRow]:
        now = self._database.clock.now()
        return [
            row
            for row in self._reader.rows(wanted)
            if row.record_id not in self._database.erased_bodies
            and (wanted.older_than is None or row.quarantined_at < now - wanted.older_than)
            and (record_ids is None or row.record_id in record_ids)
        ]
