"""A server that takes all bytes and answers nothing is given up in time, and its locks are freed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch, sealed_record
from tests.kit.tcp_proxy import HOST, Fault, TcpProxy
from vault_etl.base.errors import UnavailableError
from vault_etl.platform.postgres import Database
from vault_etl.records import postgres as postgres_records
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.postgres import PostgresRecordLoader, fence_holds

# A thread in libpq hears no signal: without the bound only the end of the process would end the test.
pytestmark = pytest.mark.timeout(60, method="thread")

WITHIN_S = 0.5
SOON_S = 5
MANY = 20_000
"""Rows of a COPY that no socket's buffer holds."""


@pytest.fixture
def line(scratch: Scratch) -> Iterator[TcpProxy]:
    """The way to the server."""
    with TcpProxy(scratch.server.port) as proxy:
        yield proxy


@pytest.fixture
def database(scratch: Scratch, line: TcpProxy) -> Iterator[Database]:
    """The role ingest at the other end of it."""
    with through(scratch, line) as made:
        yield made


@contextmanager
def through(scratch: Scratch, line: TcpProxy) -> Iterator[Database]:
    """A database by way of the proxy."""
    parts = urlsplit(scratch.url("ingest"))
    address = parts.netloc.rpartition("@")[0] + f"@{HOST}:{line.port}"
    made = Database(urlunsplit(parts._replace(netloc=address)))
    yield made
    made.close()


@contextmanager
def in_time(least: float = WITHIN_S) -> Iterator[None]:
    """Assert that the call is given up after `least` seconds, with the error that says why."""
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="Postgres did not answer in time"):
        yield
    assert least <= time.monotonic() - began < least + SOON_S


def pid_of(database: Database) -> int:
    """The id of the server's process behind a connection."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
    assert isinstance(pid, int)
    return pid


def test_a_statement_without_an_answer_is_given_up(database: Database, line: TcpProxy) -> None:
    """The connection swallows the statement; the next transaction has a new connection, and works."""
    old = pid_of(database)
    with in_time(), line.broken(Fault.BLACKHOLE), database.transaction(within=WITHIN_S) as cursor:
        cursor.execute("SELECT 1")
    assert line.hits == {Fault.BLACKHOLE: 1}
    assert pid_of(database) != old


def test_a_commit_without_an_answer_is_given_up(database: Database, line: TcpProxy) -> None:
    """The outcome is unknown, so it is not reported as a success."""
    with in_time(), database.transaction(within=WITHIN_S) as cursor:
        cursor.execute("SELECT 1")
        with line.broken(Fault.BLACKHOLE):
            cursor.execute("COMMIT")


def test_a_rollback_without_an_answer_is_given_up(database: Database, line: TcpProxy) -> None:
    """The caller's own error comes out, and the connection is not used again."""
    old = pid_of(database)
    began = time.monotonic()
    with ExitStack() as silence, pytest.raises(LookupError):
        fail_in_silence(database, line, silence)
    assert line.hits == {Fault.BLACKHOLE: 1}
    assert WITHIN_S <= time.monotonic() - began < WITHIN_S + SOON_S
    assert pid_of(database) != old


def fail_in_silence(database: Database, line: TcpProxy, silence: ExitStack) -> None:
    """Fail in the middle of a transaction, on a line that has fallen silent."""
    with database.transaction(within=WITHIN_S) as cursor:
        cursor.execute("SELECT 1")
        silence.enter_context(line.broken(Fault.BLACKHOLE))
        raise LookupError


def test_a_copy_that_the_server_does_not_read_is_given_up(
    scratch: Scratch, line: TcpProxy, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader's COPY is more than a socket's buffer: it is stored nowhere, then stored once."""
    monkeypatch.setattr(postgres_records, "ANSWER_WITHIN_S", WITHIN_S)
    scratch.add_token_keys()
    keys = scratch.write_keys()
    loader = PostgresRecordLoader(database, DEFAULT)
    loader.prepare_partitions()
    record = sealed_record(keys)
    many = [record, *(sealed_record(keys) for _ in range(MANY))]
    with ExitStack() as silence, monkeypatch.context() as patch:

        def fence(*args: Any) -> bool:  # noqa: ANN401 - as the real one
            holds = fence_holds(*args)
            silence.enter_context(line.broken(Fault.BLACKHOLE))
            return holds

        patch.setattr(postgres_records, "fence_holds", fence)
        with in_time():
            loader.load(many, [], keys)
    assert line.hits == {Fault.BLACKHOLE: 1}
    assert loader.load([record], [], keys) == Loaded(frozenset({record.record_id}), frozenset())
    assert scratch.value("SELECT count(*) FROM user_logins") == 1


def test_a_frozen_server_is_given_up(scratch: Scratch) -> None:
    """The kernel still acknowledges for a frozen process, so no time-out of TCP ends the wait."""
    with scratch.database("ingest") as database:
        pid = pid_of(database)
        os.kill(pid, signal.SIGSTOP)
        try:
            with in_time(), database.transaction(within=WITHIN_S) as cursor:
                cursor.execute("SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert pid_of(database) != pid


def test_a_timely_answer_is_not_cut_later(database: Database) -> None:
    """The connection stays, and the watch leaves no thread or descriptor."""
    pid = pid_of(database)
    before = descriptors()
    threads = set(threading.enumerate())
    with database.transaction(within=WITHIN_S) as cursor:
        cursor.execute("SELECT 1")
    for thread in set(threading.enumerate()) - threads:
        thread.join(SOON_S)
        assert not thread.is_alive()
    assert descriptors() == before
    assert pid_of(database) == pid


def test_a_transaction_without_a_bound_is_not_cut(database: Database) -> None:
    """A migration has no bound, and may take hours."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", (2 * WITHIN_S,))


def descriptors() -> int:
    """The number of descriptors that this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
