"""The loader, in memory: the fence, the constraints of the tables, and conflicts on the primary key."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from vault_etl.records.fenced_writes import (
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
)
from vault_etl.records.messages import (
    EventMonth,
    RecordRange,
    SealedRecord,
    SealedRejection,
)
from vault_etl.records.write_batch import RecordLoader

_MONTHS = range(-2, 4)
_BOUNDS = range(-24, 4)
_LONGEST = {"user_id": 128, "device_type": 32, "locale": 32, "app_version": 32}
_REQUIRED = frozenset(("user_id", "device_type"))


class FakeRecordLoader(RecordLoader):
    """`RecordLoader` in memory. Refuses what the constraints of the migrations refuse.

    It refuses `refused_users` too, and with `refuses_rejections` every row of quarantine: as a
    constraint would that this version does not know.
    """

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self.batches: list[int] = []
        self._made: set[int] = set()
        self.refused_users: frozenset[str] = frozenset()
        self.refuses_rejections = False
        self.before_commit: Callable[[], None] = lambda: None
        """Called when all is written, and nothing of it is there yet."""

    @override
    def prepare_partitions(self, months: Iterable[EventMonth] = ()) -> tuple[RecordRange, ...]:
        today = self._database.clock.now()
        self._made |= {_months_between(today, month) for _, month in months} & set(_BOUNDS)
        bounds = [
            (_month(today, n), _month(today, n + 1)) for n in sorted(self._made | set(_MONTHS))
        ]
        bounds.insert(0, (uuid.UUID(int=0), uuid.UUID(int=1 << 80)))
        return tuple(
            RecordRange(event.name, first, end)
            for event in self._database.declaration.events
            for first, end in bounds
        )

    @override
    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        self.batches.append(len(records) + len(rejections))
        database = self._database
        if not database.fence_holds(keys.data_keys, keys.generations):
            return KeysChanged()
        sqlstates = [sqlstate for record in records if (sqlstate := _refused(record))]
        unknown = any(record.subject in self.refused_users for record in records)
        if unknown or (rejections and self.refuses_rejections):
            sqlstates.append("23514")
        if sqlstates:
            return RowsRefused(sqlstates[0])
        new_records = {r.record_id: r for r in records if r.record_id not in database.records}
        new = {r.record_id: r for r in rejections if r.record_id not in database.quarantine}
        self.before_commit()
        database.records |= new_records
        database.quarantine |= new
        database.quarantined_at |= dict.fromkeys(new, database.clock.now())
        return Loaded(frozenset(new_records), frozenset(new))

    @override
    def probe(self) -> None:
        """Succeed at once: the fake is always reachable."""


def _months_between(today: dt.datetime, month: dt.date) -> int:
    return (month.year - today.year) * 12 + month.month - today.month


def _month(today: dt.datetime, ahead: int) -> uuid.UUID:
    """The first record id of a month."""
    months = today.year * 12 + today.month - 1 + ahead
    first = dt.datetime(months // 12, months % 12 + 1, 1, tzinfo=dt.UTC)
    return uuid.UUID(int=int(first.timestamp() * 1000) << 80)


def _refused(record: SealedRecord) -> str | None:
    for column, longest in _LONGEST.items():
        text = record.plain.get(column)
        if not isinstance(text, str):
            continue
        if "\x00" in text:
            return "22021"
        if len(text) > longest or (not text and column in _REQUIRED):
            return "23514"
    return None
