"""Long results, read as they are wanted, by a cursor that ends with its transaction."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

import psycopg2.extensions

from vault_etl.platform.postgres import Database

_ROWS: Final = 1_000
"""Rows in memory at a time."""

_IN_MEMORY: Final = 1024 * 1024
"""Bytes of a result that are kept in memory; of a longer one all are in a file."""


def stream(
    database: Database, query: str, values: Mapping[str, object]
) -> Iterator[tuple[Any, ...]]:
    """Run `query` at once and take all its rows; they come as they are asked for, a thousand at a time.

    However slow the reader is, a pager say, no lock on a table and no old snapshot waits for it, and
    other transactions may use the connection in between. Raises as `Database.transaction` does, and
    never later. What is kept is not encrypted, so a row must hold no personal value; the file has no
    name, and ends with this process at the latest.
    """
    with contextlib.ExitStack() as unless_all_came:
        kept = unless_all_came.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
        with database.transaction(long=True) as cursor:
            for rows in pages(cursor, "vault_etl_stream", query, _ROWS, values):
                pickle.dump(rows, kept)
        unless_all_came.pop_all()
    one_by_one = _rows(kept)
    # From here on it closes the file, whether it is read to its end, in part or never.
    next(one_by_one)
    return one_by_one


def pages(
    cursor: psycopg2.extensions.cursor,
    name: str,
    query: str,
    size: int,
    values: Mapping[str, object] | None = None,
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of `query` in the cursor's transaction, so many at a time. One of this name at a time."""
    with cursor.connection.cursor() as own:
        own.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {query}", values)
        while True:
            own.execute(f"FETCH FORWARD {size} FROM {name}")
            rows = own.fetchall()
            if not rows:
                break
            yield rows
        own.execute(f"CLOSE {name}")


def _rows(kept: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    with kept:
        yield ()
        end = kept.tell()
        kept.seek(0)
        while kept.tell() < end:
            yield from pickle.load(kept)  # noqa: S301 - what this process wrote


PAGE_BYTES: Final = 4 * 2**20
"""Of ciphertexts in one page, unless its first row alone has more. They travel as hex, twice as long."""


def page(
    cursor: psycopg2.extensions.cursor, query: str, values: Mapping[str, object], limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows of one page, without their last column, and whether no row comes after them.

    `query` stops at `limit` rows or at `bytes`, and at least one row is there if there is any. Its last
    column says how many rows `limit` alone would have let pass. The server reads the lengths of values
    that are stored apart, and not the values, so what does not fit is not sent.
    """
    cursor.execute(query, {**values, "limit": limit, "bytes": PAGE_BYTES})
    found = cursor.fetchall()
    rows = [row[:-1] for row in found]
    return rows, not found or (found[0][-1] < limit and len(found) == found[0][-1])
