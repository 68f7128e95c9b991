"""Ingest end to end, beside its alternatives: a queue as fast as a real one, and a real Postgres.

Each run begins with a full queue and an empty copy of the database. Events a second are counted by the queue, from the
first receive until nine tenths of the messages are deleted, so that neither the start of a process nor the wait of a
last incomplete batch is in it. CPU is of the client's process and its children, without what it takes to load an empty
queue. All rows are counted after the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.programs import NODE, TAKE_HOME, THREADS, TWO, VAULT, Program, Setting, node_runs
from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.sqs.actions import NEARLY_ALL
from benchmarks.sqs.process import ServedQueue, served_queue
from benchmarks.stack import Served, Stack, embedded_stack
from benchmarks.used import Used, used_by
from tests.kit.sessions import connect
from vault_etl.event.made_up_events import made_up_events

RATE: Final = "events/s"
CPU: Final = "client CPU µs an event"
SERVER_CPU: Final = "Postgres CPU µs an event"
MEMORY: Final = "most MB of memory of a process"
CALLS: Final = "SQS calls an event"
WAL: Final = "WAL bytes an event"
SESSIONS: Final = "sessions of Postgres"

TABLES: Final = Path(__file__).parent / "peers" / "tables.sql"

SETTINGS: Final = (
    Setting("0 ms"),
    Setting("5 ms", 5),
    Setting("10 ms", 10),
    Setting("20 ms", 20),
    Setting("0 ms, TLS", tls=True),
)


def run(size: Size) -> Iterator[Result]:
    """Run every program in every setting, `size.rounds` times in turn, and compare the medians."""
    programs = [TAKE_HOME, THREADS, *([NODE] if node_runs() else []), VAULT]
    with embedded_stack() as stack:
        runs = Runs(stack, size.events)
        for number in range(size.rounds):
            for setting in SETTINGS:
                for program in (*programs, *([TWO] if setting is SETTINGS[0] else [])):
                    runs.one(program, setting)
            size.say(f"round {number + 1} of {size.rounds}")
    pairs = [(VAULT.name, peer.name) for peer in (TAKE_HOME, THREADS, NODE)]
    for setting in SETTINGS:
        bench, samples = f"ingest/{setting.name}", runs.samples[setting]
        yield from median_results(bench, samples, [*pairs, (TWO.name, VAULT.name)])
    yield from median_results("ingest/an empty queue", runs.starts, pairs)


class Runs:
    """Runs of programs on one stack, and what each took."""

    def __init__(self, stack: Stack, events: int) -> None:
        self.samples: defaultdict[Setting, defaultdict[str, list[Mapping[str, float]]]] = (
            defaultdict(lambda: defaultdict(list))
        )
        self.starts: dict[str, list[Mapping[str, float]]] = {}
        self._stack = stack
        self._events = events
        self._bodies = stack.directory / "bodies.jsonl"
        with self._bodies.open("w", encoding="utf-8") as file:
            file.writelines(f"{body}\n" for body in made_up_events(events, seed=1, messy_every=0))
        stack.sql("postgres", "CREATE DATABASE peers")
        stack.sql("peers", "SET search_path = public;" + TABLES.read_text(encoding="utf-8"))

    def one(self, program: Program, setting: Setting) -> None:
        """Run a program once."""
        if program.name not in self.starts:
            empty, _, _ = self.load(program, setting, 0)
            self.starts[program.name] = [{"CPU ms": empty.cpu * 1e3}]
        events = program.events(self._events, setting)
        used, server, queue = self.load(program, setting, events)
        told, start = queue.statistics, self.starts[program.name][0]["CPU ms"] / 1e3
        self.samples[setting][program.name].append(
            {
                RATE: NEARLY_ALL * events / (told["nearly_all_deleted"] - told["first_received"]),
                CPU: max(used.cpu - start, 0.0) / events * 1e6,
                SERVER_CPU: server.cpu / events * 1e6,
                MEMORY: used.peak_bytes / 1e6,
                CALLS: sum(told["calls"].values()) / events,
                WAL: server.wal_bytes / events,
                SESSIONS: server.sessions,
            }
        )

    def load(
        self, program: Program, setting: Setting, events: int
    ) -> tuple[Used, Served, ServedQueue]:
        """Load a queue of so many events. Return what it took of the client and the server, and the queue."""
        stack, tls = self._stack, self._stack.directory if setting.tls else None
        with (
            stack.copy(program.database) as database,
            served_queue(self._bodies, events, delay_ms=setting.delay_ms, tls=tls) as queue,
        ):
            settings = stack.on(database, program.role)
            before = stack.served(database)
            used = used_by(program.arguments, program.environment(settings, setting, queue, tls))
            served = stack.served(database) - before
            self._must_have(stack.on(database, "admin"), program.table, events)
        return used, served, queue

    def _must_have(self, settings: Mapping[str, str], table: str, rows: int) -> None:
        with (
            closing(connect(settings["VAULT_ETL_DATABASE_URL"])) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
            ((count,),) = cursor.fetchall()
        if count != rows:
            message = f"{table} has {count} rows, not {rows}"
            raise RuntimeError(message)
