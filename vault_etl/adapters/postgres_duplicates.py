"""Shared tokens on Postgres, for the role analyst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_stream import stream
from vault_etl.adapters.sql import blocks
from vault_etl.ports.duplicates import SharedToken, SharedTokenQuery

_SQL: Final = blocks("duplicates.sql")


class PostgresDuplicateFinder:
    """`DuplicateFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shared_tokens(self, query: SharedTokenQuery) -> Iterator[SharedToken]:
        """See `DuplicateFinder.shared_tokens`. One statement: a cut-over is before it, or after it."""
        values = {
            "min_count": query.min_count,
            "min_users": query.min_users,
            "since": query.since,
            "until": query.until,
            "leave_out": list(query.leave_out),
            "limit": query.limit,
        }
        rows = stream(self._database, _SQL[f"shared_{query.field.value}"], values)
        return (SharedToken(*row) for row in rows)
