"""Rotation beside the bare statement that writes the same bytes, in one run: rows a second, and their ratio.

    .venv/bin/python -m benchmarks.rotation [ROWS]

Loads ROWS made-up events (1,000,000) by the real command into an embedded Postgres that keeps what it
acknowledges, copies the database, and then times, one after the other, on equal copies:

- one bare `UPDATE … FROM` that gives every row both its ciphertexts anew, `keys rotate --yes`, and two of them at once,
  which share the rows;
- one bare `UPDATE … FROM` that gives every row both its next tokens, and `keys rotate --tokens --yes`.

Rotation's time is that of the whole process, its plan, its check and its last look at the table included.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg2

from vault_etl.core.made_up_events import made_up_events

ROWS: Final = 1_000_000
DAYS: Final = 60
"""Over which the events are spread: three partitions, as in the life of a table."""

_CIPHERTEXTS: Final = (
    """CREATE TABLE public.bare AS SELECT record_id,
        substring(ip_ciphertext FROM 1 FOR 17) || reverse(substring(ip_ciphertext FROM 18)) AS ip,
        substring(device_id_ciphertext FROM 1 FOR 17)
            || reverse(substring(device_id_ciphertext FROM 18)) AS device_id
    FROM public.user_logins""",
    """UPDATE public.user_logins AS r SET ip_ciphertext = b.ip, device_id_ciphertext = b.device_id
    FROM public.bare AS b WHERE b.record_id = r.record_id""",
)
_TOKENS: Final = (
    """CREATE TABLE public.bare AS SELECT record_id,
        md5(masked_ip::text)::uuid AS ip, md5(masked_device_id::text)::uuid AS device_id
    FROM public.user_logins""",
    """UPDATE public.user_logins AS r SET next_masked_ip = b.ip, next_masked_device_id = b.device_id,
        next_token_generation = 2::smallint
    FROM public.bare AS b WHERE b.record_id = r.record_id""",
)


class Stack:
    """The embedded stack, and the commands on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command("local", "start", "--dir", str(directory / "stack"))
        self._settings = {name: self._environment(name) for name in ("operator", "admin", "owner")}

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

    def sql(self, database: str, *statements: str) -> float:
        """Run statements as the superuser; the seconds that the last one took."""
        url = self.on(database, "admin")["VAULT_ETL_DATABASE_URL"]
        seconds = 0.0
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in statements:
                started = time.monotonic()
                cursor.execute(statement)
                seconds = time.monotonic() - started
        return seconds

    def stop(self) -> None:
        """End it, and delete what it made."""
        self.command("local", "reset", "--yes", "--dir", str(self.directory / "stack"))

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
            loaded = fill(stack, Path(directory), rows)
            report(f"`ingest --file`, {rows:,} rows", rows, loaded)
            for copy in ("bare_seals", "bare_tokens", "tokens", "two"):
                stack.sql("postgres", f'CREATE DATABASE "{copy}" TEMPLATE vault_etl')
            bare = stack.sql(
                "bare_seals", _CIPHERTEXTS[0], "VACUUM ANALYZE", "CHECKPOINT", _CIPHERTEXTS[1]
            )
            report("bare UPDATE of both ciphertexts", rows, bare)
            seconds, _ = rotate(stack, "vault_etl")
            report("`keys rotate`", rows, seconds, bare)
            seconds = rotate_twice_at_once(stack, "two")
            report("two `keys rotate` at once", rows, seconds, bare)
            bare = stack.sql("bare_tokens", _TOKENS[0], "VACUUM ANALYZE", "CHECKPOINT", _TOKENS[1])
            report("bare UPDATE of both next tokens", rows, bare)
            seconds, said = rotate(stack, "tokens", "--tokens")
            report("`keys rotate --tokens`", rows, seconds, bare)
            held = re.search(r"held its locks for (\d+) ms", said)
            sys.stdout.write(f"the cut-over held its locks for {held[1] if held else '?'} ms\n")
        finally:
            stack.stop()


def fill(stack: Stack, directory: Path, rows: int) -> float:
    """Load made-up events, in the order of their days; the seconds that it took."""
    path = directory / "events.jsonl"
    first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DAYS)
    with path.open("w", encoding="utf-8") as file:
        for index, body in enumerate(made_up_events(rows, seed=1, messy_every=0)):
            day = first + dt.timedelta(days=index * DAYS // rows)
            file.write(f'{body[:-1]}, "create_date": "{day}"}}\n')
    started = time.monotonic()
    stack.command("ingest", "--quiet", "--file", str(path), extra=stack.on("vault_etl"))
    seconds = time.monotonic() - started
    path.unlink()
    return seconds


def rotate(stack: Stack, database: str, *options: str) -> tuple[float, str]:
    """Rotate; the seconds that it took, and what it said."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")
    started = time.monotonic()
    done = stack.command("keys", "rotate", "--yes", *options, extra=stack.on(database))
    return time.monotonic() - started, done.stderr


def rotate_twice_at_once(stack: Stack, database: str) -> float:
    """Two processes; the seconds until the later of them ended."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        arguments = ("keys", "rotate", "--yes", "--quiet")
        runs = [pool.submit(stack.command, *arguments, extra=stack.on(database)) for _ in range(2)]
    for run in runs:
        run.result()
    return time.monotonic() - started


def report(what: str, rows: int, seconds: float, bare: float | None = None) -> None:
    """One line: what, how long, how many rows a second, and as a ratio of the bare statement."""
    ratio = f"  {bare / seconds:.2f} of the bare statement's" if bare else ""
    sys.stdout.write(f"{what:45} {seconds:8.1f} s  {rows / seconds:8,.0f} rows/s{ratio}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
