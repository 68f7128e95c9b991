"""Accesses to stored values on Postgres: for the role reveal, against audit entries, and for the role analyst."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.log import AuditEntry, EntriesAboutRecord, LastTrimmed
from vault_etl.audit.opening import DisclosedValue, DisclosedValues
from vault_etl.audit.postgres import entry_of, last_trimmed
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.postgres_stream import stream
from vault_etl.platform.resources import blocks
from vault_etl.reveal.duplicates import DuplicateFinder, SharedToken, SharedTokenQuery
from vault_etl.reveal.find import (
    NONCE_BYTES,
    RecordFinder,
    TokenHolder,
    TokenHolders,
    UserRecord,
    UserRecords,
    search_digest,
    user_digest,
)

_SQL: Final = blocks("reveal/reveal.sql")


class PostgresDisclosedValues(DisclosedValues):
    """Gets the values that a committed intent discloses, for the role reveal, which may not read the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def disclose(self, receipt: AuditReceipt) -> Mapping[str, DisclosedValue]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["disclose"], {"seq": receipt.seq})
            return {
                name: DisclosedValue(
                    EventName(event),
                    FieldName(field),
                    None if stored is None else bytes(stored),
                    subject,
                    day,
                    tuple(tokens or ()),
                    generation,
                )
                for event, name, field, stored, subject, day, tokens, generation in cursor
            }


class PostgresEntriesAboutRecord(EntriesAboutRecord):
    """Reads the audit entries about a record, for the role reveal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def entries_about(self, receipt: AuditReceipt) -> Sequence[AuditEntry]:
        entries = list[AuditEntry]()
        while True:
            after = entries[-1].seq if entries else 0
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["about"], {"seq": receipt.seq, "after": after})
                found = [entry_of(row) for row in cursor.fetchall()]
            if not found:
                return entries
            entries += found

    @override
    def last_trimmed(self) -> LastTrimmed | None:
        return last_trimmed(self._database)


class PostgresRecordFinder(RecordFinder):
    """Finds records for the role reveal, which may not read the table.

    Each search is two transactions: the first binds the intent to the digest of the search, so that a repetition of
    the second one, after a rollback, can search for the same tokens or user and no others.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[TokenHolders]:
        nonce = os.urandom(NONCE_BYTES)
        self._bind(receipt, search_digest(nonce, tokens))
        with self._database.transaction() as cursor:
            rows = rows_of(
                cursor,
                _SQL["find"],
                {"seq": receipt.seq, "nonce": nonce, "tokens": list(tokens), "limit": limit},
            )
        counts = [0] * (receipt.request.amount or 1)
        newest: list[list[TokenHolder]] = [[] for _ in counts]
        for *holder, count, value in rows:
            counts[value] = count
            newest[value].append(_holder(*holder))
        return [TokenHolders(count, holders) for count, holders in zip(counts, newest, strict=True)]

    @override
    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        nonce = os.urandom(NONCE_BYTES)
        self._bind(receipt, user_digest(nonce, user_id))
        with self._database.transaction(long=True) as cursor:
            rows = rows_of(
                cursor,
                _SQL["find_user"],
                {"seq": receipt.seq, "nonce": nonce, "user_id": user_id},
            )
        newest = [
            UserRecord(EventName(event), record_id, day, _utc(moment), details)
            for event, record_id, day, moment, details, _ in rows
        ]
        return UserRecords(rows[0][-1] if rows else 0, newest)

    def _bind(self, receipt: AuditReceipt, digest: bytes) -> None:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["search"], {"seq": receipt.seq, "digest": digest})


def _holder(
    event: str, record_id: uuid.UUID, subject: str, day: dt.date, moment: dt.datetime | None
) -> TokenHolder:
    return TokenHolder(EventName(event), record_id, subject, day, _utc(moment))


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.replace(tzinfo=dt.UTC)


class PostgresDuplicateFinder(DuplicateFinder):
    """Groups records by token, for the role analyst. One statement: a cut-over is before it, or after it."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._sql = sql_blocks("reveal/duplicates.sql", declaration)

    @override
    def shared_tokens(self, query: SharedTokenQuery) -> Iterator[SharedToken]:
        rows = stream(self._database, self._sql[f"shared_{query.field}"], _query_values(query))
        return (SharedToken(*row) for row in rows)

    @override
    def records(self, query: SharedTokenQuery) -> int:
        statement = "EXPLAIN (FORMAT JSON) " + self._sql[f"shared_{query.field}"]
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, _query_values(query))
            (((plan,),),) = cursor.fetchall()
        return round(sum(_scanned_rows(plan["Plan"])))


def _query_values(query: SharedTokenQuery) -> Mapping[str, object]:
    return {
        "min_count": query.min_count,
        "min_users": query.min_users,
        "since": query.since,
        "until": query.until,
        "leave_out": list(query.leave_out),
        "limit": query.limit,
    }


def _scanned_rows(node: Mapping[str, Any]) -> Iterator[float]:
    """Yield the planned rows of each scan of a table below a node; a parallel scan counts for all its processes."""
    if "Relation Name" in node:
        yield node["Plan Rows"]
    for below in node.get("Plans", ()):
        yield from _scanned_rows(below)
