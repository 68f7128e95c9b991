"""A vault of many rows, made by SQL: `scale.sql`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.layout import named

FIRST_KEY: Final = 30
"""As `scale.sql` has it."""
ROWS_A_KEY: Final = 1_000
ROWS_AN_ENTRY: Final = 10
ROWS_A_MESSAGE: Final = 10
_PARTS: Final = 20

SQL: Final = named(Path(__file__).with_name("scale.sql"))


def fill(sql: Callable[..., Any], rows: int) -> Iterator[str]:
    """Add so many rows, and what belongs to them, to a vault with some; what is done, step by step.

    `sql` runs statements with values in a session of its own. Triggers are passed; the counts are made after that.
    """
    sizes = {"rows": rows, "keys": rows // ROWS_A_KEY, "messages": rows // ROWS_A_MESSAGE}
    replica = "SET session_replication_role = replica;"
    sql(SQL["months"])
    sql(replica + SQL["keys"], sizes)
    with ThreadPoolExecutor(2) as pool:
        log = f"{replica} SET bench.entries = {rows // ROWS_AN_ENTRY};" + SQL["log"]
        parts = [pool.submit(sql, log)]
        step = -(-rows // _PARTS)
        for first in range(0, rows, step):
            some = {**sizes, "first": first, "last": min(first + step, rows) - 1}
            parts.append(pool.submit(sql, replica + SQL["records"], some))
        for part in parts:
            part.result()
    yield "records and entries"
    sql(replica + SQL["quarantine"], sizes)
    sql("SELECT vault_etl.recount_values()")
    yield "counts"
    sql("VACUUM ANALYZE")
    yield "all"
