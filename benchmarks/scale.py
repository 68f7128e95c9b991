"""Cost of each command as the vault grows, by how many rows there are.

Each vault has its rows over 24 months, a data key for a thousand of them, and a tenth as many entries of the audit log
and quarantined messages. SQL makes them; 1,000 more, which can be revealed, come by the real command. Ten million take
an hour and 10 GB.

Each command is a process of its own. Its CPU is that of its process and of the server's sessions, and its memory the
most that its process had. Its pages are what the server counts for the database, all that its functions and triggers do
included, from memory or not: they do not depend on the machine. A command that changes nothing is run three times, and
the least counts; of ten million once.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from typing import Any, Final

from benchmarks.ingest import MEMORY
from benchmarks.results import Result
from benchmarks.scale_fill import FIRST_KEY, ROWS_A_KEY, SQL, fill
from benchmarks.size import Size
from benchmarks.stack import Stack, embedded_stack
from benchmarks.used import Used, used_by
from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.sessions import connect
from tests.kit.swaps import open_data_rotation
from vault_etl.crypto.keys import KeyState
from vault_etl.event.made_up_events import made_up_events
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres import Database
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.ranges import OpenRotation, Range

ONCE: Final = 10_000_000
"""Rows from which a command is run once, and not three times."""
REAL: Final = 1_000
LOADED: Final = 20_000
PAGES: Final = 20
"""Of 1,000 rows, in one claimed range of a rotation."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run: seconds by the clock and of CPU, pages, and megabytes of the process, if there is one."""

    pages: int
    cpu: float
    seconds: float
    megabytes: float = 0.0

    def least(self, other: Cost) -> Cost:
        """Return the lesser of each."""
        return Cost(*map(min, astuple(self), astuple(other)))

    def metrics(self) -> Mapping[str, float]:
        """Return the values by the names that results have."""
        found = {"pages": self.pages, "CPU s": self.cpu, "s": self.seconds}
        return {**found, MEMORY: self.megabytes} if self.megabytes else found


class Grown:
    """A vault of so many rows, and what its commands cost."""

    def __init__(self, stack: Stack, rows: int) -> None:
        self._stack = stack
        self._rows = rows
        self._keys = rows // ROWS_A_KEY
        self._name = f"rows_{rows}"
        self._url = stack.on(self._name, "admin")["VAULT_ETL_DATABASE_URL"]
        self.costs: dict[str, Cost] = {}

    def measure(self, commands: Collection[str]) -> Mapping[str, Cost]:
        """Fill it, and run the commands of these names; all of them if there are none."""
        if not commands:
            self._once("`ingest` of 20,000, empty", self._load(LOADED, seed=3))
        self._load(REAL, seed=1)()
        began = time.monotonic()
        for done in fill(self._sql, self._rows):
            self._say(done, began)
        self._command("audit", "checkpoint")()
        for what, act in self._looks():
            if not commands or what in commands:
                self._at_least(what, act)
        for what, act in self._changes():
            if not commands or what in commands:
                self._once(what, act)
        return self.costs

    def _looks(self) -> Iterator[tuple[str, Callable[[], Used | None]]]:
        """Yield the commands that change nothing, but for entries of the log."""
        record_id, device = self._real()
        reason = ("--reason", "a benchmark")
        used, unused = FIRST_KEY, FIRST_KEY - 1 + self._keys
        lately = (dt.datetime.now(dt.UTC) - dt.timedelta(days=400)).date().replace(day=1)
        month = ("--since", f"{lately}", "--until", f"{lately + dt.timedelta(days=27)}")
        duplicates = ("duplicates", "--field", "ip")
        yield "`status`", self._command("status", may_fail=True)
        yield "the ages of keys, for metrics", self._ages
        yield "`doctor`", self._command("doctor", may_fail=True)
        yield "`doctor --deep`", self._command("doctor", "--deep", may_fail=True)
        yield "`keys list`", self._command("keys", "list")
        yield "`keys destroy --dry-run`, needed", self._destroy(used, may_fail=True)
        yield "`keys destroy --dry-run`, not needed", self._destroy(unused)
        yield (
            "`keys destroy --unused --dry-run`",
            self._command("keys", "destroy", "--unused", "--dry-run"),
        )
        yield "a rotation's remainder, none", lambda: self._left({unused})
        yield "a rotation's remainder, all", lambda: self._left(range(used, unused))
        yield f"{PAGES} pages of a rotation's range", self._range
        yield "`reveal`", self._command("reveal", record_id, *reason)
        find = ("find", "--field", "device_id", *reason)
        yield "`find` of a value", self._command(*find, text=device)
        yield "`find --user-id`", self._command("find", "--user-id", self._user(7), *reason)
        yield "`duplicates`", self._command(*duplicates)
        yield "`duplicates` of a month", self._command(*duplicates, *month)
        yield "`audit list --limit 50`", self._command("audit", "list", "--limit", "50")
        by_actor = ("--actor", "reader", "--limit", "50")
        yield "`audit list --actor --limit 50`", self._command("audit", "list", *by_actor)
        unknown = ("--actor", "nobody", "--limit", "50")
        yield "`audit list` of an actor without entries", self._command("audit", "list", *unknown)
        yield "`audit verify`", self._command("audit", "verify")
        yield "`quarantine list --limit 50`", self._command("quarantine", "list", "--limit", "50")
        yield "`quarantine list --summary`", self._command("quarantine", "list", "--summary")
        yield "`quarantine list`, all", self._command("quarantine", "list")
        yield "`partitions list`", self._owner("partitions", "list")

    def _changes(self) -> Iterator[tuple[str, Callable[[], Used | None]]]:
        """Yield the commands that can be run once."""
        reason = ("--reason", "a benchmark", "--yes")
        day = dt.datetime.now(dt.UTC).date().replace(day=15) - dt.timedelta(days=365)
        erase = ("erase", "--user-id")
        yield "`erase --user-id`", self._command(*erase, self._user(8), *reason)
        yield "`partitions detach`", self._owner("partitions", "detach", f"{day:%Y-%m}", *reason)
        yield (
            "`keys list`, a month detached",
            self._command("keys", "list"),
        )
        yield "`partitions attach`", self._owner("partitions", "attach", f"{day:%Y-%m}", *reason)
        yield "`ingest` of 20,000", self._load(LOADED, seed=4)
        yield "`keys destroy --unused`", self._command("keys", "destroy", "--unused", "--yes")

    def _destroy(self, key_id: int, *, may_fail: bool = False) -> Callable[[], Used]:
        return self._command("keys", "destroy", str(key_id), "--dry-run", may_fail=may_fail)

    def _ages(self) -> None:
        with closing(Database(self._url)) as database:
            for state in (KeyState.PENDING, KeyState.ACTIVE):
                PostgresKeyStore(database).oldest(state)

    def _left(self, old: Iterable[int]) -> None:
        with closing(Database(self._url)) as database:
            PostgresReencrypter(database, DEFAULT).remaining(_rotation(old))

    def _range(self) -> None:
        """A range from the middle of the table, one page after the other."""
        ((first, until),) = self._sql(SQL["range"])
        rotation = _rotation(range(FIRST_KEY, FIRST_KEY + self._keys))
        open_data_rotation(self._execute, rotation)
        after = None
        with closing(Database(self._url)) as database:
            for _ in range(PAGES):
                at = Range(USER_LOGINS, uuid.UUID(first), uuid.UUID(until), after)
                page = PostgresReencrypter(database, DEFAULT).page(rotation, at, 1_000)
                if not page.rows:
                    break
                after = page.rows[-1].record_id
        self._execute("DELETE FROM vault_etl.key_rotations")

    def _user(self, number: int) -> str:
        ((user,),) = self._sql("SELECT md5('user' || %(number)s)::uuid::text", {"number": number})
        return str(user)

    def _real(self) -> tuple[str, str]:
        """The id of a record that the real command loaded, and its device."""
        device = json.loads(next(made_up_events(REAL, seed=1, messy_every=0)))["device_id"]
        find = ("find", "--field", "device_id", "--reason", "to begin with")
        done = self._stack.command(*find, extra=self._stack.on(self._name), text=device)
        return str(json.loads(done.stdout)["records"][0]["record_id"]), device

    def _load(self, count: int, *, seed: int) -> Callable[[], Used]:
        """An ingest of so many made-up events."""
        file = self._stack.directory / f"{seed}.jsonl"
        bodies = made_up_events(count, seed=seed, messy_every=0)
        file.write_text("".join(f"{body}\n" for body in bodies), encoding="utf-8")
        return self._command("ingest", "--quiet", "--file", str(file))

    def _command(
        self, *arguments: str, text: str = "", may_fail: bool = False, role: str = "operator"
    ) -> Callable[[], Used]:
        program = (sys.executable, "-m", "vault_etl", *arguments)
        settings = self._stack.on(self._name, role)
        return lambda: used_by(program, settings, text=text, may_fail=may_fail)

    def _owner(self, *arguments: str) -> Callable[[], Used]:
        return self._command(*arguments, role="owner")

    def _once(self, what: str, act: Callable[[], Used | None]) -> None:
        before = self._pages()
        used: list[Used | None] = []
        spent = self._stack.spent(lambda: used.append(act()))
        peak = used[0].peak_bytes if used[0] else 0
        cost = Cost(self._pages() - before, spent.cpu, spent.seconds, peak / 1e6)
        self.costs[what] = cost.least(self.costs.get(what, cost))

    def _at_least(self, what: str, act: Callable[[], Used | None]) -> None:
        began = time.monotonic()
        for _ in range(3 if self._rows < ONCE else 1):
            self._once(what, act)
        self._say(what, began)

    def _pages(self) -> int:
        time.sleep(0.3)  # the command's sessions end, and say what they read
        ((pages,),) = self._sql(SQL["pages"])
        return int(pages)

    def _execute(self, statement: str, *values: object) -> None:
        self._sql(statement, values or None)

    def _sql(self, statement: str, values: Any = None) -> Sequence[tuple[Any, ...]]:  # noqa: ANN401 - as psycopg2 takes it
        with closing(connect(self._url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else ()

    def _say(self, what: str, began: float) -> None:
        sys.stderr.write(f"{self._name}: {what}, {time.monotonic() - began:.1f} s\n")
        sys.stderr.flush()


def _rotation(old: Iterable[int]) -> OpenRotation:
    return OpenRotation(rotation_id=uuid.uuid4(), fields=PERSONAL_FIELDS, old_keys=frozenset(old))


def run(size: Size) -> Iterator[Result]:
    """Measure all commands, and compare each size with the one before."""
    yield from compared("scale", costs_of(size.growth))


def costs_of(
    sizes: Sequence[int], commands: Collection[str] = ()
) -> Mapping[int, Mapping[str, Cost]]:
    """Measure the commands of these names, or all, on a vault of each size."""
    with embedded_stack() as stack:
        settings = (f"ALTER SYSTEM SET {name} = '{value}'" for name, value in SERVER)
        stack.sql("postgres", *settings, "SELECT pg_reload_conf()")
        costs = {}
        for rows in sizes:
            stack.sql("postgres", f"CREATE DATABASE rows_{rows} TEMPLATE vault_etl")
            costs[rows] = Grown(stack, rows).measure(commands)
            stack.sql("postgres", f"DROP DATABASE rows_{rows}")
    return costs


def compared(bench: str, costs: Mapping[int, Mapping[str, Cost]]) -> Iterator[Result]:
    """Compare each command on a vault with itself on the next smaller one."""
    for fewer, more in itertools.pairwise(costs):
        for command, cost in costs[more].items():
            peer = costs[fewer][command]
            subject, before = (f"{command}, {rows:,} rows" for rows in (more, fewer))
            for metric, value in cost.metrics().items():
                yield Result(bench, subject, before, metric, value, peer.metrics()[metric])


SERVER: Final = (
    ("autovacuum", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_wal_size", "2GB"),
)
"""So that nothing else reads pages, and the fill does not wait for the disk."""
