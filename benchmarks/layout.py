"""Layouts of the table side by side: bytes a row, WAL a row, HOT updates, and how rotations make it grow.

Each layout is an equal copy of a migrated database, filled with rows by SQL and then rotated, erased
from and read, in pages as the product does it. A checkpoint comes before each step and none during it, so that the
images of pages in the WAL are the same each time. Rows a second depend on the machine, and the rest does not.

A layout is `FILLFACTOR`, `FILLFACTORxSLICES` (each page of a rotation in so many transactions), or `narrow-…`: the
ciphertexts in a table of their own.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg2
from psycopg2.extensions import cursor

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Stack, embedded_stack

LAYOUTS: Final = (
    "100",
    "90",
    "70",
    "50",
    "90x10",
    "80x5",
    "narrow-100",
    "narrow-90x10",
    "narrow-50",
)
BESIDE: Final = 20
"""One row in so many is loaded while the second rotation runs, and not before."""


EVEN: Final = {
    "user": "i % (:rows / 4)",
    "ip": "(i * 7919::bigint) % (:rows * 3 / 4)",
    "device": "(i * 104729::bigint) % (:rows * 4 / 5)",
}
"""The numbers of values that repeat equally often."""


def named(path: Path) -> dict[str, str]:
    """The named statements of a file."""
    text = path.read_text(encoding="utf-8")
    return dict(
        re.findall(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", text, re.MULTILINE | re.DOTALL)
    )


SQL: Final = named(Path(__file__).with_name("layout.sql"))


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of the rows."""

    name: str

    @property
    def narrow(self) -> bool:
        """Ciphertexts are in a table of their own."""
        return self.name.startswith("narrow-")

    @property
    def fillfactor(self) -> int:
        """The fillfactor of each partition that a data-key rotation writes."""
        return int(self.name.removeprefix("narrow-").split("x")[0])

    @property
    def slices(self) -> int:
        """Into how many transactions a page of a rotation is cut."""
        return int((*self.name.split("x"), "1")[1])


class Run:
    """One layout, measured."""

    def __init__(self, stack: Stack, layout: Layout, rows: int) -> None:
        self._layout = layout
        self._rows = rows
        self._url = stack.on(f"layout_{layout.name}", "admin")["VAULT_ETL_DATABASE_URL"]
        self._said: dict[str, float] = {}

    def measure(self) -> Mapping[str, float]:
        """All steps, one after the other."""
        place = "seals" if self._layout.narrow else "user_logins"
        rotate = f"CALL bench.rotate(1, {self._layout.slices}, '{place}')"
        early = self._rows - self._rows // BESIDE
        with self._connected() as sql:
            self._prepare(sql)
            self._step(sql, "ingest", self._ingest(0, early), early)
            self._sizes(sql, "loaded", early)
            self._step(sql, "rotation 1", rotate, early)
            self._sizes(sql, "rotated 1", early)
            beside = threading.Thread(target=self._beside, args=(early,))
            beside.start()
            self._step(sql, "rotation 2", rotate, early)
            beside.join()
            self._sizes(sql, "rotated 2", self._rows)
            self._step(sql, "rotation 3", rotate, self._rows)
            self._sizes(sql, "rotated 3", self._rows)
            self._reads(sql)
            for fill, what in (("true", "tokens"), ("false", "clear")):
                call = f"CALL bench.tokens({fill}, {self._layout.slices})"
                self._step(sql, what, call, self._rows)
            self._sizes(sql, "tokens", self._rows)
            self._step(sql, "erase", f"CALL bench.erase({self._layout.narrow})", self._rows // 1000)
        return self._said

    def _prepare(self, sql: cursor) -> None:
        if self._layout.narrow:
            sql.execute(SQL["narrow"])
        tables = ("seals",) if self._layout.narrow else ("user_logins",)
        sql.execute(
            "SELECT c.oid::regclass::text, i.inhparent::regclass::text FROM pg_inherits AS i"
            " JOIN pg_class AS c ON c.oid = i.inhrelid WHERE c.relkind = 'r'"
        )
        for partition, parent in sql.fetchall():
            fillfactor = self._layout.fillfactor if parent in tables else 100
            sql.execute(
                f"ALTER TABLE {partition} SET (autovacuum_enabled = off, fillfactor = {fillfactor})"
            )
        sql.execute("ALTER TABLE vault_etl.user_logins DISABLE TRIGGER USER")

    def _ingest(self, first: int, last: int) -> str:
        return f"CALL bench.ingest({first}, {last}, {self._layout.narrow})"

    def _beside(self, early: int) -> None:
        with self._connected() as sql:
            started = time.monotonic()
            sql.execute(self._ingest(early, self._rows))
            seconds = time.monotonic() - started
            self._said["ingest beside rows/s"] = (self._rows - early) / seconds

    def _step(self, sql: cursor, what: str, statement: str, rows: int) -> None:
        sql.execute("CHECKPOINT")
        (wal, updated, hot), started = self._counters(sql), time.monotonic()
        sql.execute(statement)
        seconds = time.monotonic() - started
        wal_after, updated_after, hot_after = self._counters(sql)
        self._said[f"{what} WAL/row"] = (wal_after - wal) / rows
        self._said[f"{what} rows/s"] = rows / seconds
        if updated_after > updated:
            self._said[f"{what} HOT"] = (hot_after - hot) / (updated_after - updated)

    def _counters(self, sql: cursor) -> tuple[int, int, int]:
        sql.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(0.1)
        sql.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        ((wal,),) = sql.fetchall()
        sql.execute(SQL["updates"])
        ((updated, hot),) = sql.fetchall()
        return wal, updated, hot

    def _sizes(self, sql: cursor, when: str, rows: int) -> None:
        sql.execute("VACUUM ANALYZE")
        sql.execute(SQL["sizes"])
        ((heap, indexes, records),) = sql.fetchall()
        self._said[f"{when} heap/row"] = heap / rows
        self._said[f"{when} index/row"] = indexes / rows
        self._said[f"{when} scanned/row"] = records / rows

    def _reads(self, sql: cursor) -> None:
        for what in ("duplicates", "scan"):
            started = time.monotonic()
            sql.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {SQL[what]}")
            self._said[f"{what} rows/s"] = self._rows / (time.monotonic() - started)
            (((plan,),),) = sql.fetchall()
            blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            self._said[f"{what} bytes/row"] = blocks * 8192 / self._rows

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as sql:
            connection.autocommit = True
            sql.execute("SET max_parallel_workers_per_gather = 0; SET work_mem = '256MB'")
            yield sql


def run(size: Size) -> Iterator[Result]:
    """Measure each layout, and compare it with the first."""
    rows, samples = size.growth[0], {}
    with embedded_stack() as stack:
        prepare(stack, rows)
        for name in LAYOUTS:
            stack.sql("postgres", f'CREATE DATABASE "layout_{name}" TEMPLATE vault_etl')
            samples[name] = [Run(stack, Layout(name), rows).measure()]
            stack.sql("postgres", f'DROP DATABASE "layout_{name}"')
            size.say(f"{name} is done")
    yield from median_results("layout", samples, [(name, LAYOUTS[0]) for name in LAYOUTS[1:]])


def of_rows(text: str, rows: int, values: Mapping[str, str]) -> str:
    """Put the numbers of the values and the number of rows into a statement."""
    for name, number in (*values.items(), ("rows", str(rows))):
        text = text.replace(f":{name}", f"({number})")
    return text


def prepare(stack: Stack, rows: int, values: Mapping[str, str] = EVEN) -> None:
    """The rows that all copies are filled from, and a server that makes no checkpoint of its own.

    `values` has the number of the user, the address and the device of row `i` of `:rows`, as SQL.
    """
    made = of_rows(SQL["made"], rows, values)
    stack.sql(
        "postgres",
        "ALTER SYSTEM SET checkpoint_timeout = '1d'",
        "ALTER SYSTEM SET max_wal_size = '8GB'",
        "ALTER SYSTEM SET shared_buffers = '512MB'",
        "SELECT pg_reload_conf()",
    )
    stack.command("local", "stop", "--dir", str(stack.directory / "stack"))
    stack.command("local", "start", "--dir", str(stack.directory / "stack"))
    # Frozen, or reading them sets hint bits, and with checksums each page is in the WAL for that.
    freeze = "VACUUM (FREEZE, ANALYZE) bench.made"
    stack.sql("vault_etl", made, SQL["procedures"], freeze)
