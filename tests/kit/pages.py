"""Pages that a statement reads and writes, as PostgreSQL counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2.extensions import cursor


def pages(opened: cursor, statement: str, values: Mapping[str, Any]) -> tuple[int, set[str]]:
    """Pages that a statement reads and writes, with all that its functions do; and which functions it calls."""
    opened.execute("SET LOCAL track_functions = 'all'")
    opened.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
    (((plan,),),) = opened.fetchall()
    opened.execute("SELECT funcname::text FROM pg_stat_xact_user_functions")
    called = {name for (name,) in opened.fetchall()}
    opened.connection.commit()
    used = plan["Plan"]
    return sum(
        used[f"{kind} Blocks"]
        for kind in ("Shared Hit", "Shared Read", "Temp Read", "Temp Written")
    ), called
