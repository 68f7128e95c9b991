"""Taking tokens of a generation that is not in use away, for the roles rotate and re-encrypt."""

from __future__ import annotations

import uuid
from typing import Final

import stamina

from vault_etl.adapters.postgres import Database, LockTimeoutError
from vault_etl.adapters.postgres_records import fence_holds
from vault_etl.adapters.sql import blocks
from vault_etl.ports.old_tokens import Cleared

_SQL: Final = blocks("old_tokens.sql")

_TRIES: Final = 5


class PostgresOldTokens:
    """`OldTokens` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """See `OldTokens.clear`. A page is a transaction behind the fence, as a writer's is.

        A deadlock with another writer is tried again: clearing twice is once.
        """
        with self._database.transaction() as cursor:
            fence_holds(cursor, (), None)  # under no keys; a cut-over waits, or is waited for
            cursor.execute(_SQL["page"], {"generation": generation, "after": after, "limit": limit})
            record_ids = [record_id for (record_id,) in cursor.fetchall()]
            if not record_ids:
                return Cleared(0, None)
            cursor.execute(
                _SQL["clear"],
                {
                    "generation": generation,
                    "record_ids": record_ids,
                    "first": record_ids[0],
                    "last": record_ids[-1],
                },
            )
            return Cleared(cursor.rowcount, record_ids[-1])
