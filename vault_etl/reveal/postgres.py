"""What an entry of the audit log releases on Postgres, for the role reveal, which may read no record."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.log import AuditEntry, LeftTheLog, ReleasedValue
from vault_etl.audit.postgres import entry_of, left_the_log
from vault_etl.crypto.fields import Field
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.sql_blocks import blocks
from vault_etl.reveal.find import Holder, Holders, UserRecord, UserRecords
from vault_etl.reveal.search_digest import NONCE_BYTES, search_digest, user_digest

_SQL: Final = blocks("reveal/release.sql")


class PostgresReleasedValues:
    """`ReleasedValues` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(self, receipt: AuditReceipt) -> Mapping[Field, ReleasedValue]:
        """See `ReleasedValues.release`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["release"], {"seq": receipt.seq})
            return {
                Field(field): ReleasedValue(None if stored is None else bytes(stored), *others)
                for field, stored, *others in cursor.fetchall()
            }


class PostgresEntriesAboutRecord:
    """`EntriesAboutRecord` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries_about(self, receipt: AuditReceipt) -> Sequence[AuditEntry]:
        """See `EntriesAboutRecord.entries_about`."""
        entries = list[AuditEntry]()
        while True:
            after = entries[-1].seq if entries else 0
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["about"], {"seq": receipt.seq, "after": after})
                found = [entry_of(row) for row in cursor.fetchall()]
            if not found:
                return entries
            entries += found

    def left_the_log(self) -> LeftTheLog | None:
        """See `EntriesAboutRecord.left_the_log`."""
        return left_the_log(self._database)


class PostgresRecordFinder:
    """`RecordFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[Holders]:
        """See `RecordFinder.holding`.

        Two transactions: the first binds the intent to the tokens, and the second, which could be
        rolled back and repeated, looks for these and no others.
        """
        nonce = os.urandom(NONCE_BYTES)
        self._bind(receipt, search_digest(nonce, tokens))
        with self._database.transaction() as cursor:
            rows = rows_of(
                cursor,
                _SQL["find"],
                {"seq": receipt.seq, "nonce": nonce, "tokens": list(tokens), "limit": limit},
            )
        counts = [0] * (receipt.request.amount or 1)
        newest: list[list[Holder]] = [[] for _ in counts]
        for *holder, count, value in rows:
            counts[value] = count
            newest[value].append(_holder(*holder))
        return [Holders(count, holders) for count, holders in zip(counts, newest, strict=True)]

    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        """See `RecordFinder.of_user`. Two transactions as well."""
        nonce = os.urandom(NONCE_BYTES)
        self._bind(receipt, user_digest(nonce, user_id))
        with self._database.transaction(long=True) as cursor:
            rows = rows_of(
                cursor,
                _SQL["find_user"],
                {"seq": receipt.seq, "nonce": nonce, "user_id": user_id},
            )
        newest = [
            UserRecord(record_id, device_type, locale, app_version, create_date, _utc(event_time))
            for record_id, device_type, locale, app_version, create_date, event_time, _ in rows
        ]
        return UserRecords(rows[0][-1] if rows else 0, newest)

    def _bind(self, receipt: AuditReceipt, digest: bytes) -> None:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["search"], {"seq": receipt.seq, "digest": digest})


def _holder(
    record_id: uuid.UUID, user_id: str, create_date: dt.date, event_time: dt.datetime | None
) -> Holder:
    return Holder(record_id, user_id, create_date, _utc(event_time))


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.replace(tzinfo=dt.UTC)
