"""Ingest end to end, beside its alternatives: a queue as fast as a real one, and a real Postgres.

Each run begins with a full queue and an empty copy of the database. A program is measured while it is warm: imports,
first connections and what Node compiles are not in it. Events a second are counted by the queue, from the deletion of
a quarter of the messages to that of three quarters: later the receivers have no work, and a last incomplete batch
waits. CPU is of the client's process and its children, less the CPU of a run on a quarter of the messages. All rows are
counted after the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.programs import NODE, TAKE_HOME, THREADS, TWO, VAULT, Program, Setting, node_runs
from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.sqs.actions import MOST, WARM
from benchmarks.sqs.process import ServedQueue, served_queue
from benchmarks.stack import Served, Stack, embedded_stack
from benchmarks.used import Used, used_by
from tests.kit.proxy import FaultProxy
from vault_etl.event.made_up_events import made_up_events

RATE: Final = "events/s"
CPU: Final = "client CPU µs an event"
SERVER_CPU: Final = "Postgres CPU µs an event"
MEMORY: Final = "most MB of memory of a process"
QUEUE_CPU: Final = "queue CPU µs an event"
CALLS: Final = "SQS calls an event"
IN_FLIGHT: Final = "most messages in flight"
WAL: Final = "WAL bytes an event"
SESSIONS: Final = "sessions of Postgres"
KMS_CALLS: Final = "KMS calls of a run"

TABLES: Final = Path(__file__).parent / "peers" / "tables.sql"

NO_DELAY: Final = Setting("0 ms")
TLS: Final = Setting("0 ms, TLS", tls=True)


def run(size: Size) -> Iterator[Result]:
    """Run programs in every setting, `size.rounds` times in turn, and compare the medians.

    A message at a time is bound by its round trips and its commits, which one setting shows.
    """
    programs = [THREADS, *([NODE] if node_runs() else []), VAULT]
    settings = [*(Setting(f"{delay} ms", delay) for delay in size.delays_ms), TLS]
    with embedded_stack() as stack:
        runs = Runs(stack, size.events)
        empty = {program.name: [runs.start(program)] for program in (TAKE_HOME, *programs)}
        for number in range(size.rounds):
            for setting in settings:
                first = [TAKE_HOME, TWO] if setting == NO_DELAY else []
                for program in (*first, *programs):
                    runs.one(program, setting)
            size.say(f"round {number + 1} of {size.rounds}")
    pairs = [(VAULT.name, peer.name) for peer in (TAKE_HOME, THREADS, NODE)]
    for setting in settings:
        bench, samples = f"ingest/{setting.name}", runs.samples[setting]
        yield from median_results(bench, samples, [*pairs, (TWO.name, VAULT.name)])
    yield from median_results("ingest/an empty queue", empty, pairs)


class Runs:
    """Runs of programs on one stack, and what each took."""

    def __init__(self, stack: Stack, events: int) -> None:
        self.samples: defaultdict[Setting, defaultdict[str, list[Mapping[str, float]]]] = (
            defaultdict(lambda: defaultdict(list))
        )
        self._quarters: dict[tuple[Program, Setting], float] = {}
        self._stack = stack
        self._events = events
        self._bodies = stack.directory / "bodies.jsonl"
        with self._bodies.open("w", encoding="utf-8") as file:
            file.writelines(f"{body}\n" for body in made_up_events(events, seed=1, messy_every=0))
        stack.sql("postgres", "CREATE DATABASE peers")
        stack.sql("peers", "SET search_path = public;" + TABLES.read_text(encoding="utf-8"))

    def start(self, program: Program) -> Mapping[str, float]:
        """Run a program on an empty queue."""
        used, *_ = self.load(program, NO_DELAY, 0)
        return {"CPU ms": used.cpu * 1e3, "MB of memory": used.peak_bytes / 1e6}

    def one(self, program: Program, setting: Setting) -> None:
        """Run a program once."""
        events = program.events(self._events, setting)
        if (program, setting) not in self._quarters:
            used, *_ = self.load(program, setting, int(events * WARM))
            self._quarters[program, setting] = used.cpu
        used, server, queue, kms_calls = self.load(program, setting, events)
        told, quarter = queue.statistics, self._quarters[program, setting]
        share = MOST - WARM
        sample = {
            RATE: share * events / (told["most_deleted"] - told["warm"]),
            CPU: max(used.cpu - quarter, 0.0) / (events * (1 - WARM)) * 1e6,
        }
        if setting == NO_DELAY:
            sample |= {
                SERVER_CPU: server.cpu / events * 1e6,
                QUEUE_CPU: told["cpu_seconds"] / events * 1e6,
                MEMORY: used.peak_bytes / 1e6,
                CALLS: sum(told["calls"].values()) / events,
                IN_FLIGHT: told["most_in_flight"],
                WAL: server.wal_bytes / events,
                SESSIONS: server.sessions - 1,  # without the one that counted
                **({KMS_CALLS: kms_calls} if program.asks_kms else {}),
            }
        self.samples[setting][program.name].append(sample)

    def load(
        self, program: Program, setting: Setting, events: int
    ) -> tuple[Used, Served, ServedQueue, int]:
        """Load a queue of so many events.

        Return what it took of the client and of the server, the queue, and the number of calls of KMS.
        """
        stack, tls = self._stack, self._stack.directory if setting.tls else None
        with (
            served_queue(self._bodies, events, delay_ms=setting.delay_ms, tls=tls) as queue,
            stack.copy(program.database) as database,
            FaultProxy(stack.on(database)["AWS_ENDPOINT_URL"]) as kms,
        ):
            settings = {**stack.on(database, program.role), "AWS_ENDPOINT_URL_KMS": kms.url}
            environment = program.environment(settings, setting, queue, tls)
            before = stack.served(database)
            used = used_by(program.arguments, environment)
            served = stack.served(database) - before
            self._must_have(database, program.table, events)
        return used, served, queue, len(kms.calls)

    def _must_have(self, database: str, table: str, rows: int) -> None:
        with self._stack.session(database) as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
            ((count,),) = cursor.fetchall()
        if count != rows:
            message = f"{table} has {count} rows, not {rows}"
            raise RuntimeError(message)
