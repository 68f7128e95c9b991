"""Quarantine on Postgres: metadata for the role reveal, retries for re-encrypt, discards for erase."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import ValueRefusedError, retried_for_locks
from vault_etl.platform.postgres_stream import page, stream
from vault_etl.platform.resources import blocks
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
from vault_etl.records.fenced_writes import KeysChanged, RowsRefused, WriteKeys
from vault_etl.records.postgres import fence_holds
from vault_etl.records.postgres_insert import insert_records

_SQL: Final = blocks("quarantine/quarantine.sql")

_TRIES: Final = 5


_DISCARD: Final = blocks("quarantine/discard.sql")

_DISCARD_TRIES: Final = 3
"""Each try waits up to ten seconds for rows that a retry or a rotation has locked."""


class PostgresQuarantineReader(QuarantineReader):
    """Reads a thousand rows in a transaction, and keeps no transaction open between pages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def rows(
        self, wanted: QuarantineFilter = EVERY_ROW, *, limit: int | None = None
    ) -> Iterator[QuarantinedRow]:
        filters = dataclasses.asdict(wanted)
        return itertools.islice(self._rows(filters, self._start(filters, limit)), limit)

    @override
    def counts(self, wanted: QuarantineFilter = EVERY_ROW) -> Iterator[QuarantinedCount]:
        # Counts are streamed: a login that may write decides how many there are.
        values = dataclasses.asdict(wanted)
        return (QuarantinedCount(*row) for row in stream(self._database, _SQL["counts"], values))

    @override
    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["row"], {"record_id": record_id})
            found = cursor.fetchone()
        return QuarantinedRow(*found) if found else None

    def _start(
        self, filters: Mapping[str, object], limit: int | None
    ) -> tuple[dt.datetime | None, uuid.UUID | None]:
        """Return time and id of the row before the first listed row; None for a listing of all rows."""
        if limit is None:
            return None, None
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["before_the_newest"], {**filters, "limit": limit})
            return cursor.fetchone() or (None, None)

    def _rows(
        self,
        filters: Mapping[str, object],
        after: tuple[dt.datetime | None, uuid.UUID | None],
    ) -> Iterator[QuarantinedRow]:
        while True:
            with self._database.transaction() as cursor:
                cursor.execute(
                    _SQL["rows"], {**filters, "after_time": after[0], "after_id": after[1]}
                )
                found = [QuarantinedRow(*row) for row in cursor.fetchall()]
            if not found:
                return
            yield from found
            after = found[-1].quarantined_at, found[-1].record_id


class PostgresQuarantineMover(QuarantineMover):
    """Reads and moves bodies, for the role re-encrypt."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration
        self._writer = WriterDeclaration.of(declaration)

    @override
    def bodies(
        self, wanted: RetryFilter, after: uuid.UUID | None, limit: int
    ) -> Sequence[QuarantinedBody]:
        with self._database.transaction() as cursor:
            ids = None if wanted.only is None else list(wanted.only)
            found, _ = page(
                cursor,
                _SQL["bodies"],
                {"only": ids, "reason_code": wanted.reason_code, "after": after},
                limit,
            )
        return [
            QuarantinedBody(record_id, bytes(body), source_id, queue)
            for record_id, body, source_id, queue in found
        ]

    @override
    @retried_for_locks(tries=_TRIES)
    def move(
        self, restored: Sequence[RestoredMessage], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        # A retry after a deadlock is safe: rows that were moved do not exist any more.
        try:
            with self._database.transaction() as cursor:
                if not fence_holds(cursor, keys.data_keys, keys.generations, self._writer):
                    return KeysChanged()
                cursor.execute(
                    _SQL["lock_bodies"],
                    {
                        "record_ids": [r.body.record_id for r in restored],
                        "bodies": [r.body.ciphertext for r in restored],
                    },
                )
                unchanged = frozenset(record_id for (record_id,) in cursor.fetchall())
                records = [r.record for r in restored if r.record.record_id in unchanged]
                insert_records(cursor, records, self._declaration, checks_first=True)
                cursor.execute(_SQL["delete_rows"], {"record_ids": list(unchanged)})
                return Moved(unchanged)
        except ValueRefusedError as error:
            return RowsRefused(error.sqlstate)


class PostgresQuarantineDiscarder(QuarantineDiscarder):
    """Discards messages, for the role erase, which has no right to a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> MatchingMessages:
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_DISCARD["quarantine_matching"], _values(wanted, record_ids))
            (found,) = cursor.fetchall()
        return MatchingMessages(*found)

    @override
    @retried_for_locks(tries=_DISCARD_TRIES)
    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        messages, newest, seq, hash_ = self._database.call(
            _DISCARD["quarantine_discard"],
            {
                "request_id": request.request_id,
                "actor": request.actor,
                "host": request.host,
                "ticket": request.ticket,
                "reason": request.reason,
                **_values(wanted, record_ids),
            },
        )
        return None if messages is None else Discarded(messages, newest, Head(seq, bytes(hash_)))


def _values(wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None) -> dict[str, object]:
    ids = None if record_ids is None else list(record_ids)
    return {"record_ids": ids, **dataclasses.asdict(wanted)}
