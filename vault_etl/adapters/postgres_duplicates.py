"""Shared tokens on Postgres, for the role analyst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.sql import blocks
from vault_etl.core.fields import Field
from vault_etl.ports.duplicates import SharedToken

_SQL: Final = blocks("duplicates.sql")


class PostgresDuplicateFinder:
    """`DuplicateFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shared_tokens(self, field: Field, min_count: int, limit: int) -> Sequence[SharedToken]:
        """See `DuplicateFinder.shared_tokens`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL[f"shared_{field.value}"], {"min_count": min_count, "limit": limit})
            return [SharedToken(*row) for row in cursor.fetchall()]
