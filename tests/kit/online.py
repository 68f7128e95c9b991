"""A program whose migrations are ours and three more: a column is added, filled online, and made NOT NULL later."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

import vault_etl
from tests.kit.databases import TEMPLATE, database_copy
from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch
from tests.kit.vault import Result
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.clock import Pace, Progress, SystemClock
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.facts_file import FILE, facts_file
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_online import PostgresOnline, apply_online
from vault_etl.schema.postgres_schema import PostgresSchema

COUNTRY = Path(__file__).parents[1] / "data" / "migrations"
EXPAND, ONLINE, CONTRACT = (path.stem for path in sorted(COUNTRY.glob("*.sql")))


def with_country(place: Path, *names: str) -> Path:
    """A folder of our migrations, and these."""
    folder = place / "migrations"
    shutil.copytree(resource_dir("migrations"), folder, dirs_exist_ok=True)
    for name in names:
        shutil.copy(COUNTRY / f"{name}.sql", folder)
    return folder


def write_schema(server: RunningPostgres, folder: Path) -> None:
    """The file of the facts, for the migrations that are in the folder."""
    with database_copy(server, TEMPLATE) as name, Scratch(server, name).database("admin") as opened:
        PostgresMigrations(opened, folder).apply()
        facts = PostgresSchema(opened, folder, DEFAULT).facts()
    (folder / FILE).write_text(facts_file(facts, folder), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Program:
    """A copy of the program, with migrations of its own, for one database."""

    place: Path
    database: Scratch

    @classmethod
    def copy(cls, place: Path, database: Scratch) -> Program:
        """A copy with the migrations of the first of two versions: expand, and the online migration."""
        package = Path(vault_etl.__file__).parent
        shutil.copytree(package, place / "vault_etl", ignore=shutil.ignore_patterns("migrations"))
        folder = with_country(place, EXPAND, ONLINE)
        write_schema(database.server, folder)
        return cls(place, database)

    def update(self) -> None:
        """Update to the second version, which contracts."""
        write_schema(self.database.server, with_country(self.place, CONTRACT))

    def start(self, *args: str, role: str = "admin") -> subprocess.Popen[str]:
        """Start `vault-etl migrate ARGS`. Its log goes to a file, so that it can be read meanwhile."""
        with self.log.open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "vault_etl", "migrate", *args],
                env={"PATH": os.defpath, "VAULT_ETL_DATABASE_URL": self.database.url(role)},
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, *args: str, role: str = "admin") -> Result:
        """Run it to its end."""
        return self.end(self.start(*args, role=role))

    def end(self, process: subprocess.Popen[str]) -> Result:
        """Wait for its end."""
        stdout, _ = process.communicate(timeout=60)
        return Result(process.returncode, stdout, self.log.read_text(encoding="utf-8"))

    @property
    def log(self) -> Path:
        """The file that receives the standard error of the process."""
        return self.place / "log"


class Silent(Progress):
    """`Progress` that prints no line."""

    @override
    def advance(self, done: int, **details: int | str) -> None:
        """Print no line."""


@contextmanager
def online(database: Scratch, folder: Path, role: str = "admin") -> Iterator[PostgresOnline]:
    """The first migration of the folder that is to be done online, begun, in a session of its own."""
    with (
        database.database(role) as opened,
        database.database(role) as watching,
        database.database(role) as locks,
        online_on([opened, watching, locks], folder) as steps,
    ):
        yield steps


@contextmanager
def online_on(databases: Sequence[Database], folder: Path) -> Iterator[PostgresOnline]:
    """The same on three connections to one vault."""
    opened, watching, locks = databases
    before = PostgresMigrations(opened, folder).apply(online=True).before
    assert before is not None
    steps = PostgresOnline(opened, watching, LockWatch(locks), before)
    with steps.session():
        assert steps.try_alone() is None
        assert steps.begin()
        yield steps


def finish(steps: PostgresOnline) -> None:
    """Do all of it."""
    clock = SystemClock()
    apply_online(steps, Silent(), Pace(clock), clock, 10.0)
    steps.finish()
