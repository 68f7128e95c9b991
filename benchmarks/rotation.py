"""Rotation beside the bare statement that writes the same bytes, in one run: rows a second, and their ratio.

    .venv/bin/python -m benchmarks.rotation [ROWS]

Loads ROWS made-up events (1,000,000) by the real command into an embedded Postgres that keeps what it
acknowledges, copies the database, and then times, one after the other, on equal copies:

- one bare `UPDATE … FROM` that gives every row new ciphertexts, `keys rotate --yes`, and two of them at once,
  which share the rows;
- one bare `UPDATE … FROM` that gives every row both its next tokens, and `keys rotate --tokens --yes`.

Rotation's time is that of the whole process, its plan, its check and its last read of the table included. The CPU of a
row is that of the commands and of the server's sessions, and depends little on what else the machine does.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.kit.sessions import connect
from vault_etl.event.made_up_events import made_up_events

ROWS: Final = 1_000_000
DAYS: Final = 60
"""Over which the events are spread: three partitions, as in the life of a table."""

_CIPHERTEXTS: Final = (
    """CREATE TABLE vault_etl.bare AS SELECT record_id,
        substring(ip_ciphertext FROM 1 FOR 17) || reverse(substring(ip_ciphertext FROM 18)) AS ip,
        substring(device_id_ciphertext FROM 1 FOR 17)
            || reverse(substring(device_id_ciphertext FROM 18)) AS device_id
    FROM vault_etl.user_logins""",
    """UPDATE vault_etl.user_logins AS r SET ip_ciphertext = b.ip, device_id_ciphertext = b.device_id
    FROM vault_etl.bare AS b WHERE b.record_id = r.record_id""",
)
_TOKENS: Final = (
    """CREATE TABLE vault_etl.bare AS SELECT record_id,
        md5(masked_ip::text)::uuid AS ip, md5(masked_device_id::text)::uuid AS device_id
    FROM vault_etl.user_logins""",
    """UPDATE vault_etl.user_logins AS r SET next_masked_ip = b.ip, next_masked_device_id = b.device_id,
        next_token_generation = 2::smallint
    FROM vault_etl.bare AS b WHERE b.record_id = r.record_id""",
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Time spent on a step: seconds, and seconds of CPU."""

    seconds: float
    cpu: float


class Stack:
    """The embedded stack, and the commands on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command("local", "start", "--dir", str(directory / "stack"))
        self._settings = {name: self._environment(name) for name in ("operator", "admin", "owner")}
        url = self.on("postgres", "admin")["VAULT_ETL_DATABASE_URL"]
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            ((data,),) = cursor.fetchall()
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

    def sql(self, database: str, *statements: str) -> None:
        """Run statements as the superuser."""
        url = self.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in statements:
                cursor.execute(statement)

    def spent(self, act: Callable[[], object]) -> Spent:
        """Measure what an act takes: of the commands that it runs, and of sessions that end with the act."""
        began, cpu = time.monotonic(), self._cpu()
        act()
        seconds = time.monotonic() - began
        time.sleep(0.5)  # until the server has seen its sessions end
        return Spent(seconds, self._cpu() - cpu)

    def stop(self) -> None:
        """End it, and delete what it made."""
        self.command("local", "reset", "--yes", "--dir", str(self.directory / "stack"))

    def _cpu(self) -> float:
        commands = resource.getrusage(resource.RUSAGE_CHILDREN)
        sessions = psutil.Process(self._postmaster).cpu_times()
        ended: float = sessions.children_user + sessions.children_system
        return commands.ru_utime + commands.ru_stime + ended

    def _environment(self, role: str) -> dict[str, str]:
        shown = self.command(
            *("local", "env", "--role", role, "--output", "json"),
            *("--dir", str(self.directory / "stack")),
        )
        settings: dict[str, str] = json.loads(shown.stdout)
        return settings


def main(rows: int) -> None:
    """Run all four, and print a table."""
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        try:
            report(f"`ingest --file`, {rows:,} rows", rows, fill(stack, Path(directory), rows))
            for copy in ("bare_seals", "bare_tokens", "tokens", "two"):
                stack.sql("postgres", f'CREATE DATABASE "{copy}" TEMPLATE vault_etl')
            bare = update(stack, "bare_seals", *_CIPHERTEXTS)
            report("bare UPDATE of both ciphertexts", rows, bare)
            spent, _ = rotate(stack, "vault_etl")
            report("`keys rotate`", rows, spent, bare)
            report("two `keys rotate` at once", rows, rotate_twice_at_once(stack, "two"), bare)
            bare = update(stack, "bare_tokens", *_TOKENS)
            report("bare UPDATE of both next tokens", rows, bare)
            spent, said = rotate(stack, "tokens", "--tokens")
            report("`keys rotate --tokens`", rows, spent, bare)
            held = re.search(r"held its locks for (\d+) ms", said)
            sys.stdout.write(f"the cut-over held its locks for {held[1] if held else '?'} ms\n")
        finally:
            stack.stop()


def fill(stack: Stack, directory: Path, rows: int) -> Spent:
    """Load made-up events, in the order of their days."""
    path = directory / "events.jsonl"
    first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DAYS)
    with path.open("w", encoding="utf-8") as file:
        for index, body in enumerate(made_up_events(rows, seed=1, messy_every=0)):
            day = first + dt.timedelta(days=index * DAYS // rows)
            file.write(f'{body[:-1]}, "create_date": "{day}"}}\n')
    load = ("ingest", "--quiet", "--file", str(path))
    spent = stack.spent(lambda: stack.command(*load, extra=stack.on("vault_etl")))
    path.unlink()
    return spent


def update(stack: Stack, database: str, made: str, statement: str) -> Spent:
    """Make the new bytes, and then write them in one statement."""
    stack.sql(database, made, "VACUUM ANALYZE", "CHECKPOINT")
    return stack.spent(lambda: stack.sql(database, statement))


def rotate(stack: Stack, database: str, *options: str) -> tuple[Spent, str]:
    """Rotate, and what it said."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")
    said = []

    def act() -> None:
        done = stack.command("keys", "rotate", "--yes", *options, extra=stack.on(database))
        said.append(done.stderr)

    return stack.spent(act), said[0]


def rotate_twice_at_once(stack: Stack, database: str) -> Spent:
    """Two processes, until the later of them ended."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")

    def act() -> None:
        arguments = ("keys", "rotate", "--yes", "--quiet")
        settings = stack.on(database)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(stack.command, *arguments, extra=settings) for _ in range(2)]
        for run in runs:
            run.result()

    return stack.spent(act)


def report(what: str, rows: int, spent: Spent, bare: Spent | None = None) -> None:
    """One line: what, how long, rows a second, CPU a row, and both as ratios to the bare statement."""
    ratios = ""
    if bare:
        ratios = (
            f"  {bare.seconds / spent.seconds:.2f} of the bare statement's rows/s,"
            f" {spent.cpu / bare.cpu:.1f} times its CPU"
        )
    sys.stdout.write(
        f"{what:40} {spent.seconds:7.1f} s {rows / spent.seconds:8,.0f} rows/s"
        f" {spent.cpu / rows * 1e6:6.1f} us of CPU a row{ratios}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
