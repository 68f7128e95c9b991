"""What an entry of the audit log releases on Postgres, for the role reveal, which may read no record."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.sql import blocks
from vault_etl.core.audit import AuditReceipt
from vault_etl.core.fields import Field
from vault_etl.core.search import NONCE_BYTES, search_digest
from vault_etl.ports.audit_log import ReleasedValue
from vault_etl.ports.record_finder import Holder, Holders

_SQL: Final = blocks("release.sql")


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


class PostgresRecordFinder:
    """`RecordFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def holding(self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int) -> Holders:
        """See `RecordFinder.holding`.

        Two transactions: the first binds the intent to the tokens, and the second, which could be
        rolled back and repeated, looks for these and no others.
        """
        nonce = os.urandom(NONCE_BYTES)
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["search"], {"seq": receipt.seq, "digest": search_digest(nonce, tokens)}
            )
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["find"],
                {"seq": receipt.seq, "nonce": nonce, "tokens": list(tokens), "limit": limit},
            )
            rows = cursor.fetchall()
        return Holders(rows[0][4] if rows else 0, tuple(map(_holder, rows)))


def _holder(row: tuple[Any, ...]) -> Holder:
    record_id, user_id, create_date, event_time, _ = row
    at = None if event_time is None else event_time.replace(tzinfo=dt.UTC)
    return Holder(record_id, user_id, create_date, at)
