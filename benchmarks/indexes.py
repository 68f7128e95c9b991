"""Kinds of indexes side by side: the work of a load, sizes, what uses them, and sessions that meet at one value.

Each kind is an equal copy of a migrated database, whose indexes are made again before SQL fills it in batches of 1,000
rows. Addresses repeat by Zipf's law: one row in twenty has the most frequent one. One device has a tenth of the rows,
but no more than 100,000. From five million rows on, a narrow table has one index at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from psycopg2.extensions import connection

from benchmarks import layout
from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Stack, embedded_stack
from benchmarks.used import cpu_of
from tests.kit.sessions import connect

SQL: Final = layout.named(Path(__file__).with_name("indexes.sql"))
BTREE: Final = "btree"
ALL: Final = "hash and BRIN"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    BTREE: (),
    "none": ("none",),
    "hash of tokens": ("hash_tokens",),
    "hash of users": ("hash_users",),
    "BRIN of days": ("brin_days",),
    ALL: ("hash_tokens", "hash_users", "brin_days"),
}
"""The statements that make a kind of the indexes that migrations make."""

_CHANCE: Final = "((hashint8extended(i, {seed}) & 9007199254740991)::float8 / 9007199254740992)"
VALUES: Final = {
    "user": f"floor(:rows / 4 * power({_CHANCE.format(seed=1)}, 2))::bigint",
    "ip": f"floor(exp({_CHANCE.format(seed=2)} * ln(:rows * 3 / 4)))::bigint",
    "device": "CASE WHEN i % greatest(:rows / 100000, 10) = 0 THEN 0"
    " ELSE 1 + (i * 104729::bigint) % (:rows * 4 / 5) END",
}
"""The number of the value that a row has, of `:rows` rows."""

QUERIES: Final = {
    "find_rare": 100,
    "find_hot": 3,
    "find_user": 100,
    "erase_user": 1,
    "a_day": 3,
    "days_of_a_month": 10,
    "duplicates": 1,
}
"""How often each query runs; its first run is not counted."""
SESSIONS: Final = 4
_PAGES: Final = 20
_HOT_BATCHES: Final = 50
_LARGE: Final = 5_000_000


def run(size: Size) -> Iterator[Result]:
    """Measure each kind, and compare it with the indexes that migrations make."""
    rows = size.growth[-1]
    samples: dict[str, list[Mapping[str, float]]] = {}
    with embedded_stack() as stack:
        stack.sql("postgres", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
        if rows >= _LARGE:
            yield from narrow(stack, rows, size.say)
            return
        layout.prepare(stack, rows, VALUES)
        stack.sql("vault_etl", SQL["procedures"])
        for name in KINDS:
            database = f"indexes_{name}"
            stack.sql(
                "postgres", f'CREATE DATABASE "{database}" TEMPLATE vault_etl STRATEGY file_copy'
            )
            samples[name] = [measured(stack, database, KINDS[name], rows)]
            stack.sql("postgres", f'DROP DATABASE "{database}"', "CHECKPOINT")
            size.say(f"{name}: {samples[name]}")
    yield from median_results(
        "indexes", samples, [(name, BTREE) for name in samples if name != BTREE]
    )


NARROW: Final = {
    "no index": None,
    "btree of tokens": "btree (token)",
    "hash of tokens": "hash (token)",
    "btree of users": "btree (user_id)",
    "hash of users": "hash (user_id)",
    "btree of days": "btree (day)",
    "BRIN of days": "brin (day)",
}
_MORE: Final = {"": 100, ", one value": 5}
"""Batches of 1,000 rows that are added to a narrow table: of all values, and of the most frequent token."""


def narrow(stack: Stack, rows: int, say: Callable[[str], None]) -> Iterator[Result]:
    """Add rows to a table with one index at a time, or none."""
    samples: dict[str, list[Mapping[str, float]]] = {}
    with opened(stack, "vault_etl") as session:
        executed(session, layout.of_rows(SQL["narrow"], rows, VALUES))
        for name, index in NARROW.items():
            took: dict[str, float] = {}
            if index:
                built = executed(session, f"CREATE INDEX one ON bench.narrow USING {index}")
                took["build, CPU µs a row"] = built / rows * 1e6
            for what, batches in _MORE.items():
                cpu = executed(session, f"CALL bench.more({batches}, {bool(what)})")
                took[f"load{what}, CPU µs a row"] = cpu / batches * 1e3
            if index:
                with session.cursor() as cursor:
                    cursor.execute("SELECT pg_relation_size('bench.one')")
                    ((index_bytes,),) = cursor.fetchall()
                took["bytes a row"] = index_bytes / rows
                executed(session, "DROP INDEX bench.one")
            samples[name] = [took]
            say(f"{name}: {took}")
    pairs = [(name, name.replace("hash", BTREE).replace("BRIN", BTREE)) for name in samples]
    yield from median_results("indexes", samples, [pair for pair in pairs if pair[0] != pair[1]])


def measured(stack: Stack, database: str, kind: tuple[str, ...], rows: int) -> Mapping[str, float]:
    """Load, ask, rotate, and load one value from several sessions."""
    took: dict[str, float] = {}
    late = rows // 10
    with opened(stack, database) as session:
        for name in kind:
            executed(session, SQL[name])
        for what, first, last in (("", 0, rows - late), (", last tenth", rows - late, rows)):
            executed(session, "CHECKPOINT")
            wal = wal_bytes(session)
            cpu = executed(session, f"CALL bench.ingest({first}, {last}, false)")
            took[f"load{what}, CPU µs a row"] = cpu / (last - first) * 1e6
            took[f"load{what}, WAL bytes a row"] = (wal_bytes(session) - wal) / (last - first)
        executed(session, "VACUUM ANALYZE")
        with session.cursor() as cursor:
            cursor.execute(SQL["sizes"])
            for column, index_bytes in cursor.fetchall():
                took[f"index of {column}, bytes a row"] = index_bytes / rows
        for name, times in QUERIES.items():
            took[f"{name}, CPU µs"] = asked(session, name, times) * 1e6
        rotated = min(_PAGES * 1000, rows)
        executed(session, "CHECKPOINT")
        wal = wal_bytes(session)
        cpu = executed(session, f"CALL bench.next_tokens({_PAGES})")
        took["next tokens, CPU µs a row"] = cpu / rotated * 1e6
        took["next tokens, WAL bytes a row"] = (wal_bytes(session) - wal) / rotated
    for sessions in (1, SESSIONS):
        began = time.monotonic()
        numbers = [16 * sessions + number for number in range(sessions)]
        with ThreadPoolExecutor(sessions) as pool:
            cpus = list(pool.map(partial(hot, stack, database), numbers))
        stored = 100 * _HOT_BATCHES * sessions
        took[f"one value, {sessions} sessions, CPU µs a row"] = sum(cpus) / stored * 1e6
        took[f"one value, {sessions} sessions, rows/s"] = stored / (time.monotonic() - began)
    return took


def hot(stack: Stack, database: str, number: int) -> float:
    """Store rows of the most frequent token, in a session with this number; the seconds of CPU."""
    with opened(stack, database) as session:
        return executed(session, f"CALL bench.hot({number}, {_HOT_BATCHES})")


def asked(session: connection, name: str, times: int) -> float:
    """Run a query once, and then so many times; the seconds of CPU of one of these."""
    statement = SQL[name] if name in SQL else layout.SQL[name]
    executed(session, statement)
    return sum(executed(session, statement) for _ in range(times)) / times


def executed(session: connection, statement: str) -> float:
    """Run statements; the seconds of CPU of the session's server process."""
    before = cpu_of(session.info.backend_pid)
    with session.cursor() as cursor:
        cursor.execute(statement)
        if cursor.description:
            cursor.fetchall()
    return cpu_of(session.info.backend_pid) - before


def wal_bytes(session: connection) -> int:
    """Return how much WAL the server has written."""
    with session.cursor() as cursor:
        cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        ((written,),) = cursor.fetchall()
    return int(written)


@contextmanager
def opened(stack: Stack, database: str) -> Iterator[connection]:
    """A session of the superuser without triggers, which does not wait for the disk."""
    url = stack.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
    with closing(connect(url)) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off;"
            " SET max_parallel_workers_per_gather = 0; SET max_parallel_maintenance_workers = 0; SET work_mem = '256MB'"
        )
        yield session
