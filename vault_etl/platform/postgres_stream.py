"""Long results: streamed through a cursor that ends with its transaction, or read page by page."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

import psycopg2.extensions

from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import copy_of
from vault_etl.platform.postgres_copy import columns_of, tuples_of

_ROWS: Final = 1_000
"""Rows in memory at a time."""

_IN_MEMORY: Final = 1024 * 1024
"""The largest result that is kept in memory, in bytes. A longer result is in a file."""


def stream(
    database: Database, query: str, values: Mapping[str, object]
) -> Iterator[tuple[Any, ...]]:
    """Run `query`, fetch all rows at once, and yield them a thousand at a time.

    A slow reader, such as a pager, holds no lock on a table and no old snapshot, and other transactions may
    use the connection in between. Raises as `Database.transaction` does, and never later. The kept rows
    are not encrypted, so they must hold no personal value. The file has no name, and ends with this
    process at the latest.
    """
    with contextlib.ExitStack() as unless_all_came:
        kept = unless_all_came.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
        with database.transaction(long=True) as cursor:
            for rows in pages(cursor, "vault_etl_stream", query, _ROWS, values):
                pickle.dump(rows, kept)
        unless_all_came.pop_all()
    one_by_one = _rows(kept)
    # From here on the generator closes the file, whether it is read whole, in part or never.
    next(one_by_one)
    return one_by_one


def pages(
    cursor: psycopg2.extensions.cursor,
    name: str,
    query: str,
    size: int,
    values: Mapping[str, object] | None = None,
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of `query`, `size` at a time, in the transaction of the cursor. A name is used once at a time."""
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
"""Bytes of ciphertexts in one page, unless the first row alone has more."""


def page(
    cursor: psycopg2.extensions.cursor, query: str, values: Mapping[str, object], limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows of one page, without their last column, and whether they are the last rows.

    `query` stops at `limit` rows or at `bytes`, but returns at least one row if there is one. The last
    column of the query is the number of rows that `limit` alone would allow. The server reads the lengths
    of values that are stored out of line, not the values, so it sends no value that does not fit.
    """
    cursor.execute(query, {**values, "limit": limit, "bytes": PAGE_BYTES})
    found = cursor.fetchall()
    rows = [row[:-1] for row in found]
    return rows, not found or (found[0][-1] < limit and len(found) == found[0][-1])


def page_columns(
    cursor: psycopg2.extensions.cursor,
    query: str,
    values: Mapping[str, object],
    limit: int,
    width: int,
) -> tuple[list[list[bytes | None]], bool]:
    """Return the `width` columns of what `page` returns, in the binary formats of their types."""
    values = {**values, "limit": limit, "bytes": PAGE_BYTES}
    *columns, found = query_columns(cursor, query, values, width + 1)
    count = int.from_bytes(found[0] or b"", "big") if found else 0
    return columns, count < limit and len(found) == count


def query_columns(
    cursor: psycopg2.extensions.cursor, query: str, values: Mapping[str, object], width: int
) -> list[list[bytes | None]]:
    """Return the rows of a query by columns, in the binary formats of their types; None for NULL."""
    return columns_of(tuples_of(copy_of(cursor, query, values)), width)
