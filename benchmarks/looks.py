"""Intents of accesses decided in a second, by how many entries the log has: alone, and with 40 callers.

    .venv/bin/python -m benchmarks.looks [SECONDS]

An intent is decided while its transaction has the turn to write the log, so these are what a whole vault can have. The
callers are sessions of one login, each with its next intent at once.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.rotation import Stack
from tests.kit.entries import ENTRIES, MILLION_ENTRIES, NO_QUOTA
from tests.kit.sessions import connect

SECONDS: Final = 10.0
CALLERS: Final = 40
_OPEN: Final = NO_QUOTA.replace("100000", "1000000")
_EMPTY: Final = "SET session_replication_role = replica; TRUNCATE vault_etl.audit_log CASCADE"
_INTENT: Final = (
    "CALL vault_etl.commit_audit_append(%s, 'intent', 'alice', 'bastion', 'reveal', %s, '{ip}',"
    " NULL, NULL, 'a benchmark', 'allowed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)


def main(seconds: float) -> None:
    """Measure an empty log and a full one, and print a line for each number of callers."""
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            stack.sql("postgres", 'CREATE DATABASE "full" TEMPLATE vault_etl')
            stack.sql("vault_etl", _OPEN)
            stack.sql("full", _EMPTY, MILLION_ENTRIES, _OPEN)
            for database, entries in (("vault_etl", 0), ("full", ENTRIES)):
                url = stack.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
                for callers in (1, CALLERS):
                    measure(url, entries, callers, seconds)
        finally:
            stack.stop()


def measure(url: str, entries: int, callers: int, seconds: float) -> None:
    """One line: entries, callers, intents a second, and the median and the 99th percentile of their times."""
    with ThreadPoolExecutor(callers) as pool:
        end = time.monotonic() + seconds
        runs = [pool.submit(look, url, end) for _ in range(callers)]
        took = sorted(ms for run in runs for ms in run.result())
    sys.stdout.write(
        f"{entries:9,} entries {callers:3} callers {len(took) / seconds:8,.0f} a second"
        f"  p50 {took[len(took) // 2]:7.1f} ms  p99 {took[len(took) * 99 // 100]:7.1f} ms\n"
    )
    sys.stdout.flush()


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


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
