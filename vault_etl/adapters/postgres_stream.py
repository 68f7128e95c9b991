"""Long results, read as they are wanted: the server keeps them, and no lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg2.extensions

from vault_etl.adapters.postgres import Database

_ROWS: Final = 1_000
"""Rows in memory at a time."""


def stream(
    database: Database, query: str, values: Mapping[str, object]
) -> Iterator[tuple[Any, ...]]:
    """Run `query` at once; its rows come as they are asked for, a thousand at a time.

    A cursor WITH HOLD: the server computes the whole result, and the transaction ends. However slow
    the reader is, a pager say, no lock on a table and no old snapshot waits for it, and other
    transactions may use the connection in between. Raises as `Database.transaction` does, also later.
    """
    with database.transaction() as cursor:
        held = cursor.connection.cursor("vault_etl_stream", withhold=True)
        held.execute(query, values)
    return _rows(database, held)


def _rows(database: Database, held: psycopg2.extensions.cursor) -> Iterator[tuple[Any, ...]]:
    while True:
        with database.transaction():
            rows = held.fetchmany(_ROWS)
        if not rows:
            break
        yield from rows
    with database.transaction():
        held.close()
