"""The loader on Postgres: fence, insert, commit. The role can write rows that it cannot read."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.base.errors import UnavailableError, of_service
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.uuids import uuid_of
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.event.rejection import Reason
from vault_etl.platform.postgres import ANSWER_WITHIN_S, SERVICE, Database
from vault_etl.platform.postgres_statement_errors import (
    NoPartitionError,
    ValueRefusedError,
    retried_for_locks,
)
from vault_etl.platform.resources import blocks
from vault_etl.records.fenced_writes import (
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
)
from vault_etl.records.messages import EventMonth, RecordRange, SealedRecord, SealedRejection
from vault_etl.records.months import sent_at
from vault_etl.records.postgres_insert import insert_records
from vault_etl.records.write_batch import RecordLoader

_SQL: Final = blocks("records/records.sql")

PROBE_WITHIN_S: Final = 5.0
_MONTHS_BACK: Final = 2
_MONTHS_AHEAD: Final = 3
_PARTITION_TRIES: Final = 5
"""Attempts to get the lock, which an ANALYZE of the whole table or the creation of a month holds for a while."""


class PostgresRecordLoader(RecordLoader):
    """`RecordLoader` on Postgres, for the role ingest."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration
        self._writer = WriterDeclaration.of(declaration, may_be_before=True)
        self._checks_first = False
        """True after a batch with stored rows that were received once: the next one has some too, as a rule."""

    @override
    def prepare_partitions(self, months: Iterable[EventMonth] = ()) -> tuple[RecordRange, ...]:
        """Create each month in a transaction of its own."""
        for event in self._declaration.active_events:
            for ahead in range(-_MONTHS_BACK, _MONTHS_AHEAD + 1):
                self._ensure_partition(_SQL["ensure_partition"], event.name, ahead)
        for name, month in months:
            with contextlib.suppress(ValueRefusedError):  # out of bounds, or of the calendar
                self._ensure_partition(_SQL["ensure_month"], name, month)
        # At every start and once a day, so that counts of connections that have ended do not add up.
        self._database.call(_SQL["fold_counts"], {}, within=ANSWER_WITHIN_S)
        with self._database.transaction("ranges", within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["ranges"])
            return tuple(RecordRange(EventName(event), *row) for event, *row in cursor.fetchall())

    @retried_for_locks(tries=_PARTITION_TRIES)
    def _ensure_partition(self, statement: str, event: EventName, month: int | dt.date) -> None:
        with self._database.transaction("partition", within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, {"event": event, "month": month})

    @override
    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        try:
            with self._database.transaction("load", within=ANSWER_WITHIN_S) as cursor:
                if not fence_holds(cursor, keys.data_keys, keys.generations, self._writer):
                    return KeysChanged()
                stored = insert_records(
                    cursor, records, self._declaration, checks_first=self._checks_first
                )
                self._checks_first = len(stored) < len(records) and any(
                    record.receive_count == 1 and record.record_id not in stored
                    for record in records
                )
                loaded = Loaded(
                    record_ids=stored,
                    rejection_ids=_insert_rejections(cursor, _not_stored(cursor, rejections)),
                )
                _count(cursor, [*records, *rejections])
                return loaded
        except ValueRefusedError as error:
            return RowsRefused(error.sqlstate)
        except NoPartitionError:
            return MonthUnattached()

    @override
    def probe(self) -> None:
        with self._database.transaction("probe", within=PROBE_WITHIN_S) as cursor:
            cursor.execute(_SQL["probe"])
            ((read_only,),) = cursor.fetchall()
        if read_only:
            self._database.close()  # another connection may find another server
            with of_service(SERVICE):
                raise UnavailableError("Postgres is read-only", hint="is a failover under way?")


def fence_holds(
    cursor: psycopg2.extensions.cursor,
    data_keys: Sequence[DataKey],
    generations: tuple[int, int | None] | None,
    writer: WriterDeclaration,
) -> bool:
    """Take the fence with the transaction's first statement, then compare keys and declaration with a second one.

    A single statement would compare with the snapshot from before the wait (docs/design.md, Keys).
    `generations` is None for a writer that makes no tokens. Raises ConfigurationError for another declaration.
    """
    cursor.execute(_SQL["lock_fence"])
    cursor.execute(
        _SQL["read_fence"],
        {
            "key_ids": [key.key_id for key in data_keys],
            "fingerprints": [key.fingerprint for key in data_keys],
            "declaration": writer.digest,
        },
    )
    active, pending, good_keys, state, _ = cursor.fetchone() or (None, None, 0, None, None)
    writer.check(state)
    if good_keys != len(data_keys):
        return False
    if generations is None:
        return True
    expected_pending = None if generations[1] is None else [generations[1]]
    return bool(active == [generations[0]] and pending == expected_pending)


def _not_stored(
    cursor: psycopg2.extensions.cursor, rejections: Sequence[SealedRejection]
) -> Sequence[SealedRejection]:
    """Drop rows that an unattached month stores already, erased or not: they are duplicates."""
    late = [r.record_id for r in rejections if r.reason is Reason.MONTH_CLOSED]
    if not late:
        return rejections
    cursor.execute(_SQL["in_closed_months"], {"record_ids": late})
    stored = {record_id for (record_id,) in cursor.fetchall()}
    return [r for r in rejections if r.record_id not in stored]


def _insert_rejections(
    cursor: psycopg2.extensions.cursor, rejections: Sequence[SealedRejection]
) -> frozenset[uuid.UUID]:
    if not rejections:
        return frozenset()
    cursor.execute(
        _SQL["insert_rejections"],
        {
            "record_ids": [r.record_id for r in rejections],
            "reasons": [r.reason.value for r in rejections],
            "paths": [r.path for r in rejections],
            "bodies": [r.body_ciphertext for r in rejections],
            "receives": [r.receive_count for r in rejections],
            "sources": [r.source_id for r in rejections],
            "queues": [r.queue for r in rejections],
        },
    )
    return frozenset(record_id for (record_id,) in cursor.fetchall())


def _count(
    cursor: psycopg2.extensions.cursor, rows: Sequence[SealedRecord | SealedRejection]
) -> None:
    """Count the commit, for `vault-etl status`. The statement is the last one, so its time is that of the commit."""
    newest = max((row.record_id.int for row in rows), default=None)
    cursor.execute(
        _SQL["committed"],
        {
            "messages": len(rows),
            "newest_sent": None if newest is None else sent_at(uuid_of(newest)),
        },
    )
