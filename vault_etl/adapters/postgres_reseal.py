"""Reading ciphertexts under old keys and swapping them for new ones, for the role re-encrypt."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

import stamina

from vault_etl.adapters.postgres import Database, LockTimeoutError
from vault_etl.adapters.postgres_records import fence_holds
from vault_etl.adapters.sql import blocks
from vault_etl.core.fields import Field
from vault_etl.core.keys import DataKey
from vault_etl.ports.record_store import Replacement, SealedValue

_SQL: Final = blocks("keys.sql")

_QUARANTINE_ROWS: Final = 16
"""Bodies at a time: each may be 1 MiB, travels as hex, and twice in a swap."""

_TRIES: Final = 5


class PostgresResealer:
    """`Resealer` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sealed_under(
        self, key_ids: Iterable[int], field: Field, after: uuid.UUID | None, limit: int
    ) -> Sequence[SealedValue]:
        """See `Resealer.sealed_under`; fewer at a time of quarantine."""
        if field is Field.QUARANTINE:
            limit = min(limit, _QUARANTINE_ROWS)
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL[f"sealed_under_{field.value}"],
                {"key_ids": list(key_ids), "after": after, "limit": limit},
            )
            return [
                SealedValue(field, record_id, user_id, bytes(ciphertext))
                for record_id, user_id, ciphertext in cursor.fetchall()
            ]

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def replace(self, replacements: Sequence[Replacement], key: DataKey) -> int | None:
        """See `Resealer.replace`. A deadlock with another writer is tried again: swapping twice is once."""
        record_ids = [r.value.record_id for r in replacements]
        with self._database.transaction() as cursor:
            if not fence_holds(cursor, (key,), None):
                return None
            cursor.execute(
                _SQL[f"replace_{key.field.value}"],
                {
                    "record_ids": record_ids,
                    "first": min(record_ids),
                    "last": max(record_ids),
                    "old": [r.value.ciphertext for r in replacements],
                    "new": [r.ciphertext for r in replacements],
                },
            )
            return cursor.rowcount
