"""A streaming standby of a test's server: a physical replica, whose replay can be paused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2.extensions

from tests.kit.databases import admin
from tests.kit.waiting import until
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.postgres_server import PostgresBinaries, PostgresServer, find_postgres_binaries
from vault_etl.local.processes import free_port, give_away, is_root, run_unprivileged


@contextmanager
def standby_of(primary: RunningPostgres, quick: Path, *settings: str) -> Iterator[RunningPostgres]:
    """Run a standby with the primary's data and logins, in `quick`; `settings` are lines of its postgresql.conf."""
    binaries = PostgresBinaries(primary.place) if is_root() else find_postgres_binaries()
    place = Path(tempfile.mkdtemp(prefix="vault-etl-standby-", dir=quick))
    give_away(place)
    try:
        copied = run_unprivileged(
            [
                str(binaries.bin / "pg_basebackup"),
                *("--pgdata", str(place / "data"), "--dbname", primary.url("admin", "postgres")),
                *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
                *_tablespaces(primary, place),
            ],
            home=place,
        )
        assert copied.returncode == 0, copied.stderr
        with (place / "data" / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in settings)
        server = PostgresServer(place, binaries)
        running = RunningPostgres(free_port(), place, primary.passwords)
        server.launch(running.port, durable=False)
        try:
            yield running
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def paused(standby: RunningPostgres) -> Iterator[None]:
    """Pause the replay while the block runs; then everything is replayed."""
    with admin(standby, "postgres") as cursor:
        cursor.execute("SELECT pg_wal_replay_pause()")
        until_yes(cursor, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_wal_replay_resume()")


def caught_up(primary: RunningPostgres, standby: RunningPostgres) -> None:
    """Wait until the standby has replayed what is written by now."""
    with admin(primary, "postgres") as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()::text")
        ((written,),) = cursor.fetchall()
    with admin(standby, "postgres") as cursor:
        until_yes(cursor, f"SELECT pg_last_wal_replay_lsn() >= '{written}'")


def until_yes(cursor: psycopg2.extensions.cursor, question: str) -> None:
    """Wait until the server answers a question with true."""

    def is_yes() -> bool:
        cursor.execute(question)
        return cursor.fetchall() == [(True,)]

    until(is_yes, told=lambda: question)


def _tablespaces(primary: RunningPostgres, place: Path) -> list[str]:
    """Each gets a folder of its own: both servers are on this machine."""
    with admin(primary, "postgres") as cursor:
        cursor.execute("SELECT pg_tablespace_location(oid) FROM pg_tablespace")
        found = [location for (location,) in cursor.fetchall() if location]
    return [f"--tablespace-mapping={old}={place / f'space{at}'}" for at, old in enumerate(found)]
