"""Taking tokens of a generation that is not in use away, for the roles rotate and re-encrypt."""

from __future__ import annotations

import uuid
from typing import Final

import stamina

from vault_etl.keys.clear_tokens import Cleared
from vault_etl.platform.postgres import Database, LockTimeoutError
from vault_etl.platform.sql_blocks import blocks

_SQL: Final = blocks("keys/old_tokens.sql")

_TRIES: Final = 5


class PostgresOldTokens:
    """`OldTokens` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """See `OldTokens.clear`. A page is a transaction, behind the fence in the database's own function.

        A deadlock with another writer is tried again: clearing twice is once.
        """
        with self._database.transaction(long=True) as cursor:
            cursor.execute(
                _SQL["clear"], {"generation": generation, "after": after, "limit": limit}
            )
            ((rows, last),) = cursor.fetchall()
        return Cleared(rows, last)
