"""The rows of a detached month, in COPY's binary format and in the order of their record ids."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg2.extensions
from psycopg2 import sql

from vault_etl.archives.manifest import Column
from vault_etl.platform.postgres_copy import HEADER, TRAILER, tuples_of

PAGE_ROWS: Final = 20_000
"""Rows in memory at once, mostly some ten megabytes; they are one row group of an archive."""

_FIRST: Final = uuid.UUID(int=0)
_SCHEMA: Final = "vault_etl_detached"

_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a
WHERE a.attrelid = to_regclass(format('vault_etl_detached.%%I', %s::text))
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_NEXT: Final = sql.SQL(
    "SELECT record_id FROM {} WHERE record_id >= {} ORDER BY record_id OFFSET {} LIMIT 1"
)
_ROWS: Final = sql.SQL(
    "COPY (SELECT {} FROM {} WHERE record_id >= {} {} ORDER BY record_id) TO STDOUT (FORMAT binary)"
)
_BEFORE: Final = sql.SQL("AND record_id < {}")
_LOAD: Final = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")

Cursor = psycopg2.extensions.cursor


def columns_of_month(cursor: Cursor, partition: str) -> tuple[Column, ...]:
    """Return all columns of a detached month's table, in their order; empty if there is no such table."""
    cursor.execute(_COLUMNS, (partition,))
    return tuple(Column(*row) for row in cursor.fetchall())


def rows_of_month(
    cursor: Cursor, partition: str, columns: Sequence[Column], page_rows: int = PAGE_ROWS
) -> Iterator[bytes]:
    """Yield all rows, one page of COPY tuples at a time; no page is empty.

    Each page is a statement of its own, so no other session may change the table meanwhile.
    """
    table = _table(partition)
    first: uuid.UUID | None = _FIRST
    while first is not None:
        start = sql.Literal(str(first))
        cursor.execute(_NEXT.format(table, start, sql.Literal(page_rows)))
        ((first,),) = cursor.fetchall() or ((None,),)
        end = sql.SQL("") if first is None else _BEFORE.format(sql.Literal(str(first)))
        out = io.BytesIO()
        cursor.copy_expert(_ROWS.format(_names(columns), table, start, end), out)
        if tuples := tuples_of(out.getvalue()):
            yield tuples


def load_month(cursor: Cursor, partition: str, columns: Sequence[Column], tuples: bytes) -> None:
    """Add rows, as `rows_of_month` yields them, to the table."""
    statement = _LOAD.format(_table(partition), _names(columns))
    cursor.copy_expert(statement, io.BytesIO(HEADER + tuples + TRAILER))


def _table(partition: str) -> sql.Identifier:
    return sql.Identifier(_SCHEMA, partition)


def _names(columns: Sequence[Column]) -> Any:  # noqa: ANN401 - psycopg2's own type
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
