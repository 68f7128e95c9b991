"""No session waits for a lock without a limit, nor after its client is gone: read from the catalog and from locks."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from tests.kit.scratch import Scratch
from tests.kit.waiting import until
from vault_etl.base.errors import UnavailableError
from vault_etl.keys.postgres import close_fence
from vault_etl.platform.postgres import Database

FENCE = "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE"
TAKE = """
CREATE PROCEDURE vault_etl.take_fence() LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
END $$
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'key_fence'::regclass"


def test_every_function_that_locks_has_a_limit_of_its_own(shared: Scratch) -> None:
    """A client that is not vault-etl may set no limit, and still call the function or write rows."""
    unbounded = shared.sql(
        "SELECT p.proname::text FROM pg_proc AS p WHERE p.pronamespace = 'vault_etl'::regnamespace"
        r" AND (p.prosrc ~ 'LOCK TABLE' OR p.prosrc ~ 'FOR (NO KEY )?(UPDATE|SHARE)(?! (NOWAIT|SKIP))')"
        " AND NOT coalesce(p.proconfig::text ~ 'lock_timeout', false) ORDER BY 1"
    )
    # It limits its wait itself, and is called by such functions alone.
    assert unbounded == [("audit_lock",)]


@pytest.mark.parametrize("ask", ["transaction", "call"])
def test_a_session_whose_client_is_gone_leaves_the_queue(scratch: Scratch, ask: str) -> None:
    """A statement that waits for a lock keeps no place in the queue, in a transaction or as a CALL of its own."""
    scratch.sql(TAKE)
    with (
        scratch.connect() as holder,
        holder.cursor() as cursor,
        scratch.database("ingest") as gone,
    ):
        cursor.execute("LOCK TABLE vault_etl.key_fence IN EXCLUSIVE MODE")
        waits = threading.Thread(target=_lose, args=(gone, ask))
        waits.start()
        until(lambda: scratch.value(WAITING))
        ((pid,),) = scratch.sql("SELECT pid FROM pg_locks WHERE NOT granted")
        assert gone._connection is not None
        with socket.socket(fileno=os.dup(gone._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        waits.join()
        until(lambda: not scratch.value(WAITING), 20)  # lock_timeout would end it after 30 s
        until(lambda: not scratch.sql("SELECT FROM pg_stat_activity WHERE pid = %s", pid))
        cursor.execute("SELECT count(*) FROM vault_etl.data_keys")  # it holds the lock still


def _lose(client: Database, ask: str) -> None:
    if ask == "call":
        with pytest.raises(UnavailableError):
            client.call("CALL vault_etl.take_fence()", {})
    else:
        with pytest.raises(UnavailableError), client.transaction() as cursor:
            cursor.execute(FENCE)


def test_the_interval_is_no_setting_of_the_database(scratch: Scratch) -> None:
    """Sessions of other applications in the database keep theirs."""
    assert scratch.value("SHOW client_connection_check_interval") == "0"
    assert scratch.sql("SELECT FROM pg_db_role_setting") == []


@pytest.mark.parametrize(
    ("setting", "limit", "of_long_ones"),
    [
        ("lock_timeout", "30s", "30s"),
        ("idle_in_transaction_session_timeout", "1min", "1min"),
        ("client_connection_check_interval", "5s", "5s"),
        ("statement_timeout", "10min", "0"),
    ],
)
def test_every_transaction_has_limits(
    scratch: Scratch, setting: str, limit: str, of_long_ones: str
) -> None:
    """Our limits hold from the first statement to COMMIT where the server has none; otherwise its own limits hold."""
    for servers, long, used in (
        ("0", False, limit),
        ("0", True, of_long_ones),
        ("5s", False, "5s"),
        ("1h", True, "1h"),
    ):
        scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET {setting} = '{servers}'")
        with scratch.database("ingest") as database, database.transaction(long=long) as cursor:
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchall() == [(used,)]


def test_a_closed_fence_is_freed_when_its_client_is_suspended(scratch: Scratch) -> None:
    """The fence is freed after ten seconds and not after a minute, since ingest waits meanwhile."""
    with scratch.database("rotate") as database, database.transaction() as cursor:
        close_fence(cursor)
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchall() == [("10s",)]


def test_a_statement_that_takes_too_long_is_reported(scratch: Scratch) -> None:
    """The error says that the server answers, and that the statement may be tried again."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET statement_timeout = '50ms'")
    with (
        scratch.database("ingest") as database,
        pytest.raises(UnavailableError, match="longer than statement_timeout"),
        database.transaction() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(60)")
