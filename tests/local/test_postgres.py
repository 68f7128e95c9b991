"""The embedded Postgres: private, quiet, and never confused with another process."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import psutil
import psycopg2
import pytest

from tests.kit.waiting import until
from vault_etl.base.errors import ConfigurationError
from vault_etl.local import INSTALL_HINT
from vault_etl.local.emulator import start_moto
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.postgres_server import check_platform

pytestmark = pytest.mark.command

SHARED = Path("/var/tmp")  # noqa: S108  # where root's servers live


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_version", "18.4"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("log_min_error_statement", "panic"),
    ],
)
def test_the_server_has_its_settings(running: RunningPostgres, setting: str, value: str) -> None:
    """The other parts rely on these settings."""
    assert _query(running.admin_url, f"SHOW {setting}") == value


def test_the_database_has_its_own_locale(running: RunningPostgres) -> None:
    """The database sorts and folds by PostgreSQL's own C.UTF-8, on every machine."""
    query = "SELECT concat(datlocprovider, datlocale) FROM pg_database WHERE datname = 'vault_etl'"
    assert _query(running.admin_url, query) == "bC.UTF-8"


def test_postgres_listens_on_loopback_only(running: RunningPostgres) -> None:
    """The server listens on 127.0.0.1 only, and on no socket in the file system."""
    connections = psutil.Process(_postmaster(running)).net_connections("all")
    listening = {c.laddr for c in connections if c.status == "LISTEN" or c.family == socket.AF_UNIX}
    assert {tuple(address) for address in listening} == {("127.0.0.1", running.port)}


def test_every_rule_asks_for_a_password(running: RunningPostgres) -> None:
    """No line of pg_hba.conf trusts a client."""
    methods = _query(
        running.admin_url, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
    )
    assert methods == ["scram-sha-256"]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password_is_refused(running: RunningPostgres, password: str) -> None:
    """A login without the password, or with another one, is refused."""
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(
            host="127.0.0.1", port=running.port, user="admin", password=password, dbname="postgres"
        )


def test_the_log_has_no_value(running: RunningPostgres) -> None:
    """A failing statement quotes a value to the caller, and never to the log."""
    canary = "canary-198-18-0-1"
    for statement in (
        f"SELECT '{canary}'::inet",
        f"DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = '{canary}'; END $$",
        f"SELECT FROM no_such_table WHERE x = '{canary}'",
    ):
        with pytest.raises(psycopg2.Error, match=canary):
            _query(running.admin_url, statement)
    log = running.log.read_text(encoding="utf-8")
    assert "ready to accept connections" in log
    assert canary not in log


def test_files_are_private(own_postgres: EmbeddedPostgres, running: RunningPostgres) -> None:
    """Passwords have mode 0600; every folder with files has 0700."""
    directory = running.passwords.path.parent
    assert _mode(directory) == _mode(running.place) == _mode(running.place / "data") == 0o700
    assert {_mode(path) for path in directory.glob("*.json")} == {0o600}
    assert own_postgres.place == running.place


def test_start_and_destroy_change_nothing_else(tmp_path: Path) -> None:
    """Every parent's mode and owner, and the list of users, stay unchanged."""
    before = _surroundings(tmp_path, SHARED)
    embedded = EmbeddedPostgres(tmp_path / "stack", durable=False)
    try:
        place = embedded.start().place
        during = _surroundings(tmp_path, SHARED)
        assert tmp_path in place.parents or place.parent == SHARED
    finally:
        embedded.destroy()
    assert before == during == _surroundings(tmp_path, SHARED)
    assert not place.exists()
    assert not list((tmp_path / "stack").iterdir())


def test_start_is_idempotent(own_postgres: EmbeddedPostgres, running: RunningPostgres) -> None:
    """A second start finds the running server."""
    pid = _postmaster(running)
    assert own_postgres.start() == running
    assert _postmaster(running) == pid


def test_a_stopped_server_starts_again(
    own_postgres: EmbeddedPostgres, running: RunningPostgres
) -> None:
    """Stop leaves no process; the next start has the same port and the same data."""
    _execute(running.admin_url, "CREATE TABLE kept AS SELECT 1 AS one")
    pids = [_postmaster(running), *_children(_postmaster(running))]
    own_postgres.stop()
    assert own_postgres.running() is None
    for pid in pids:
        _wait_until_gone(pid)
    again = own_postgres.start()
    assert again.port == running.port
    assert _query(again.admin_url, "SELECT one FROM kept") == 1


def test_a_taken_port_is_replaced(own_postgres: EmbeddedPostgres, running: RunningPostgres) -> None:
    """If another process has taken the port, the next start has another port."""
    own_postgres.stop()
    with socket.create_server(("127.0.0.1", running.port)):
        again = own_postgres.start()
    assert again.port != running.port
    assert _query(again.admin_url, "SELECT 1") == 1


def test_a_killed_server_is_started_again(
    own_postgres: EmbeddedPostgres, running: RunningPostgres
) -> None:
    """The kill is noticed."""
    pid = _postmaster(running)
    os.kill(pid, signal.SIGKILL)
    _wait_until_gone(pid)
    assert own_postgres.running() is None
    assert _query(own_postgres.start().admin_url, "SELECT 1") == 1


def test_the_id_of_another_process_is_not_trusted(
    own_postgres: EmbeddedPostgres, running: RunningPostgres
) -> None:
    """After a crash the recorded id may belong to another process, which is not ended."""
    pid = _postmaster(running)
    os.kill(pid, signal.SIGKILL)
    _wait_until_gone(pid)
    with _bystander() as bystander:
        record = running.place / "data" / "postmaster.pid"
        record.write_text(record.read_text().replace(str(pid), str(bystander.pid), 1))
        assert own_postgres.running() is None
        own_postgres.stop()
        assert _query(own_postgres.start().admin_url, "SELECT 1") == 1
        assert bystander.poll() is None


def test_a_long_path_is_possible(tmp_path: Path) -> None:
    """A path too long for a socket (107 bytes) works: there is no socket."""
    embedded = EmbeddedPostgres(tmp_path / ("long" * 30), durable=False)
    try:
        assert _query(embedded.start().admin_url, "SELECT 1") == 1
    finally:
        embedded.destroy()


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("linux", "x86_64", "glibc"),
        ("linux", "aarch64", "glibc"),
        ("darwin", "arm64", ""),
    ],
)
def test_supported_platforms(system: str, machine: str, libc: str) -> None:
    """The programs exist for these platforms."""
    check_platform(system, machine, libc)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("linux", "x86_64", ""),  # musl
        ("linux", "riscv64", "glibc"),
        ("darwin", "x86_64", ""),
        ("win32", "AMD64", ""),
    ],
)
def test_other_platforms_are_refused(system: str, machine: str, libc: str) -> None:
    """Elsewhere: exit 78, with a hint to the alternative."""
    with pytest.raises(ConfigurationError, match="does not run on") as caught:
        check_platform(system, machine, libc)
    assert caught.value.exit_code == 78
    assert "docker-compose" in str(caught.value.hint)


def test_a_missing_extra_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A production installation has no Postgres: exit 78, with the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for start in (EmbeddedPostgres(tmp_path).start, partial(start_moto, tmp_path)):
        with pytest.raises(ConfigurationError, match="is not installed") as caught:
            start()
        assert caught.value.hint == INSTALL_HINT


@contextmanager
def _bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            yield process
        finally:
            process.kill()


def _query(url: str, statement: str) -> object:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def _execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()


def _postmaster(running: RunningPostgres) -> int:
    return int((running.place / "data" / "postmaster.pid").read_text().split("\n")[0])


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _wait_until_gone(pid: int) -> None:
    until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _surroundings(*paths: Path) -> tuple[object, ...]:
    folders = [folder for path in paths for folder in (path, *path.parents)]
    owners = [(str(f), f.stat().st_mode, f.stat().st_uid, f.stat().st_gid) for f in folders]
    users = [Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group")]
    return (*owners, *users)
