"""Pages of rows that are bounded by bytes, and not by rows alone: what one brings into memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg2.extensions

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
