"""Searches for records on Postgres, for the role reveal: each against an audit entry."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.entries import AuditReceipt
from vault_etl.crypto.fields import EventName
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.resources import blocks
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
