"""Tokens that several records share, on Postgres, for the role analyst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_stream import stream
from vault_etl.reveal.duplicates import DuplicateFinder, SharedToken, SharedTokenQuery


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
