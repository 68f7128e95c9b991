"""The embedded stack of a benchmark, commands on it, and the time and CPU that they take."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from psycopg2.extensions import cursor

from tests.kit.sessions import connect

_SESSIONS_END_S: Final = 0.3
"""Until the server has seen the sessions of a program end."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Time spent on a step: seconds, and seconds of CPU."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Served:
    """The work of the server for sessions that have ended: WAL of the whole server, sessions of one database."""

    cpu: float
    wal_bytes: int
    sessions: int

    def __sub__(self, before: Served) -> Served:
        return Served(
            self.cpu - before.cpu,
            self.wal_bytes - before.wal_bytes,
            self.sessions - before.sessions,
        )


class Stack:
    """The embedded stack, and the commands on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command("local", "start", "--dir", str(directory / "stack"))
        self._settings = {name: self._environment(name) for name in ("operator", "admin", "owner")}
        with self.session("postgres") as opened:
            opened.execute("SHOW data_directory")
            ((data,),) = opened.fetchall()
        pid = (Path(data) / "postmaster.pid").read_text(encoding="ascii").split()[0]
        self._postmaster = int(pid)

    def command(
        self,
        *arguments: str,
        extra: Mapping[str, str] | None = None,
        text: str | None = None,
        may_fail: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `vault-etl ARGUMENTS` with this text as its input. It must succeed, or it `may_fail`."""
        done = subprocess.run(
            [sys.executable, "-m", "vault_etl", *arguments],
            env={**os.environ, **(extra or {})},
            cwd=self.directory,
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and not may_fail:
            sys.exit(done.stderr)
        return done

    def on(self, database: str, role: str = "operator") -> dict[str, str]:
        """The settings for commands on a database."""
        settings = dict(self._settings[role])
        url = settings["VAULT_ETL_DATABASE_URL"].rsplit("/", 1)[0]
        return {**settings, "VAULT_ETL_DATABASE_URL": f"{url}/{database}"}

    @contextmanager
    def session(self, database: str) -> Iterator[cursor]:
        """A session of the superuser, whose statements are committed one by one."""
        url = self.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
        with closing(connect(url)) as connection, connection.cursor() as opened:
            connection.autocommit = True
            yield opened

    def sql(self, database: str, *statements: str) -> None:
        """Run statements as the superuser."""
        with self.session(database) as opened:
            for statement in statements:
                opened.execute(statement)

    def spent(self, act: Callable[[], object]) -> Spent:
        """Measure what an act takes: of the commands that it runs, and of sessions that end with the act."""
        began, cpu = time.monotonic(), self._cpu()
        act()
        seconds = time.monotonic() - began
        time.sleep(_SESSIONS_END_S)
        return Spent(seconds, self._cpu() - cpu)

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """Make a database as the template is, drop it at the end, and yield its name."""
        name = f"copy_of_{template}"
        self.sql("postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template}"', "CHECKPOINT")
        try:
            yield name
        finally:
            self.sql("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')

    def served(self, database: str) -> Served:
        """Return what the server did so far, once it has seen the last sessions end."""
        time.sleep(_SESSIONS_END_S)
        with self.session(database) as opened:
            opened.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, sessions"
                " FROM pg_stat_database WHERE datname = current_database()"
            )
            ((wal_bytes, sessions),) = opened.fetchall()
        return Served(self._server_cpu(), wal_bytes, sessions)

    def stop(self) -> None:
        """End it, and delete what it made."""
        self.command("local", "reset", "--yes", "--dir", str(self.directory / "stack"))

    def _server_cpu(self) -> float:
        sessions = psutil.Process(self._postmaster).cpu_times()
        return float(sessions.children_user + sessions.children_system)

    def _cpu(self) -> float:
        commands = resource.getrusage(resource.RUSAGE_CHILDREN)
        return commands.ru_utime + commands.ru_stime + self._server_cpu()

    def _environment(self, role: str) -> dict[str, str]:
        shown = self.command(
            *("local", "env", "--role", role, "--output", "json"),
            *("--dir", str(self.directory / "stack")),
        )
        settings: dict[str, str] = json.loads(shown.stdout)
        return settings


@contextmanager
def embedded_stack() -> Iterator[Stack]:
    """Run a stack in a temporary folder."""
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            yield stack
        finally:
            stack.stop()
