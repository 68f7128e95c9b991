"""Intents of accesses decided in a second, by how many entries the log has: alone, and with 40 callers.

An intent is decided while its transaction has the turn to write the log, so these are what a whole vault can have. The
callers are sessions of one login, each with its next intent at once.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import embedded_stack
from tests.kit.entries import ENTRIES, MILLION_ENTRIES, NO_QUOTA
from tests.kit.sessions import connect

SECONDS: Final = 5.0
CALLERS: Final = 40
_OPEN: Final = NO_QUOTA.replace("100000", "1000000")
_EMPTY: Final = "SET session_replication_role = replica; TRUNCATE vault_etl.audit_log CASCADE"
_INTENT: Final = (
    "CALL vault_etl.commit_audit_append(%s, 'intent', 'alice', 'bastion', 'reveal', %s, '{ip}',"
    " NULL, NULL, 'a benchmark', 'allowed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)


def run(size: Size) -> Iterator[Result]:
    """Measure an empty log and a full one, with one caller and with many."""
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    with embedded_stack() as stack:
        stack.sql("postgres", 'CREATE DATABASE "full" TEMPLATE vault_etl')
        stack.sql("vault_etl", _OPEN)
        stack.sql("full", _EMPTY, MILLION_ENTRIES, _OPEN)
        for _ in range(size.rounds):
            for database, entries in (("vault_etl", 0), ("full", ENTRIES)):
                url = stack.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
                for callers in (1, CALLERS):
                    samples[_name(entries, callers)].append(_measured(url, callers))
    pairs = [(_name(ENTRIES, callers), _name(0, callers)) for callers in (1, CALLERS)]
    yield from median_results("looks", samples, pairs)


def _name(entries: int, callers: int) -> str:
    return f"{entries:,} entries, {callers} at once"


def _measured(url: str, callers: int) -> Mapping[str, float]:
    """Return the intents a second, and the median and the 99th percentile of their times."""
    with ThreadPoolExecutor(callers) as pool:
        end = time.monotonic() + SECONDS
        runs = [pool.submit(look, url, end) for _ in range(callers)]
        took = sorted(ms for run in runs for ms in run.result())
    return {
        "intents/s": len(took) / SECONDS,
        "ms, median": took[len(took) // 2],
        "ms, 99 %": took[len(took) * 99 // 100],
    }


def look(url: str, end: float) -> list[float]:
    """Intents until the end, one after the other; how many milliseconds each took."""
    took = []
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while (began := time.monotonic()) < end:
            cursor.execute(_INTENT, (str(uuid.uuid4()), str(uuid.uuid4())))
            (row,) = cursor.fetchall()
            if row[2] != "allowed":
                message = f"an intent was {row[2]}: {row[3]}"
                raise RuntimeError(message)
            took.append((time.monotonic() - began) * 1000)
    return took
