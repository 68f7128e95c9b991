"""Shared tokens on Postgres, for the role analyst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_stream import stream
from vault_etl.platform.sql_blocks import blocks
from vault_etl.reveal.duplicates import SharedToken, SharedTokenQuery

_SQL: Final = blocks("reveal/duplicates.sql")


class PostgresDuplicateFinder:
    """`DuplicateFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shared_tokens(self, query: SharedTokenQuery) -> Iterator[SharedToken]:
        """See `DuplicateFinder.shared_tokens`. One statement: a cut-over is before it, or after it."""
        rows = stream(self._database, _SQL[f"shared_{query.field.value}"], _values(query))
        return (SharedToken(*row) for row in rows)

    def records(self, query: SharedTokenQuery) -> int:
        """See `DuplicateFinder.records`: what the planner expects of each month."""
        statement = "EXPLAIN (FORMAT JSON) " + _SQL[f"shared_{query.field.value}"]
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, _values(query))
            (((plan,),),) = cursor.fetchall()
        return round(sum(_scanned(plan["Plan"])))


def _values(query: SharedTokenQuery) -> Mapping[str, object]:
    return {
        "min_count": query.min_count,
        "min_users": query.min_users,
        "since": query.since,
        "until": query.until,
        "leave_out": list(query.leave_out),
        "limit": query.limit,
    }


def _scanned(node: Mapping[str, Any]) -> Iterator[float]:
    """The rows of each scan of a table, below a node of a plan; of a parallel one, of all its processes."""
    if "Relation Name" in node:
        yield node["Plan Rows"]
    for below in node.get("Plans", ()):
        yield from _scanned(below)
