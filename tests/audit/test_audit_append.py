"""`audit_append`: the only way into the log, which gives out no value."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.extensions
import pytest

from tests.kit.entries import NO_QUOTA, append, append_committed, append_open
from tests.kit.scratch import Scratch
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import AuditError


@pytest.fixture(scope="module", autouse=True)
def _many(shared: Scratch) -> None:
    """This file reveals more than the default policy allows."""
    shared.sql(NO_QUOTA)


def entry(database: Scratch, seq: int, column: str) -> object:
    """One column of one entry."""
    return database.value(f"SELECT {column} FROM audit_log WHERE seq = %s", seq)  # noqa: S608


def request(**changes: object) -> AuditRequest:
    """A request as the services make it."""
    values: dict[str, object] = {
        "request_id": uuid.uuid4(),
        "action": Action.REVEAL,
        "actor": "arn:aws:iam::123456789012:user/someone",
        "host": "laptop",
        "reason": "a customer asked",
        **changes,
    }
    return AuditRequest(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["reveal", "rotate", "re-encrypt"])
def test_login_address_and_time_are_the_databases_word(shared: Scratch, role: str) -> None:
    """Login, address and time are taken inside the function; SET ROLE changes none of them."""
    with shared.connect(role) as opened, opened.cursor() as cursor:
        cursor.execute(f"SET ROLE vault_etl_{role.replace('-', '_')}")
        seq = append(cursor, action="reveal" if role == "reveal" else "keys rotate")
        opened.commit()
    assert entry(shared, seq, "login") == f"test_{role.replace('-', '_')}"
    assert entry(shared, seq, "client_address") == "127.0.0.1"
    logged_at = entry(shared, seq, "logged_at")
    assert isinstance(logged_at, dt.datetime)
    assert abs(dt.datetime.now(dt.UTC) - logged_at) < dt.timedelta(minutes=1)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_append_is_read_committed_or_refused(shared: Scratch, level: str) -> None:
    """In another isolation level the head that it locks could be an old one: refused."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(psycopg2.errors.InvalidTransactionState):
            append_open(cursor)


@pytest.mark.parametrize("servers", ["off", "local", "remote_write", "on", "remote_apply"])
def test_an_entry_is_on_disk_when_it_is_committed(shared: Scratch, servers: str) -> None:
    """`synchronous_commit` is on inside, still at the COMMIT, and what it was after it."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        cursor.execute(f"SET synchronous_commit = {servers}")
        opened.commit()
        append_open(cursor)
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchall() == [("on",)]
        opened.commit()
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchall() == [(servers,)]


def test_seq_has_no_gaps(shared: Scratch) -> None:
    """Twenty sessions, every third of which rolls back: seq is 1, 2, 3 …, in the order of the times."""
    barrier = threading.Barrier(20)

    def work(number: int) -> None:
        with shared.connect("admin") as opened, opened.cursor() as cursor:
            barrier.wait()
            for turn in range(5):
                append_open(cursor)
                if (number + turn) % 3:
                    opened.commit()
                else:
                    opened.rollback()

    before = shared.value("SELECT count(*) FROM audit_log")
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    rows = shared.sql("SELECT seq, logged_at FROM audit_log ORDER BY seq")
    committed = sum(bool((number + turn) % 3) for number in range(20) for turn in range(5))
    assert len(rows) == before + committed
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
    assert [logged_at for _, logged_at in rows] == sorted(logged_at for _, logged_at in rows)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM {0}", "UPDATE {0} SET reason = 'x'", "TRUNCATE {0} CASCADE"]
)
@pytest.mark.parametrize("role", ["SET ROLE vault_etl_owner", "RESET ROLE"])
def test_the_owner_changes_no_entry(shared: Scratch, role: str, statement: str) -> None:
    """UPDATE, DELETE and TRUNCATE raise, for the owner and for the superuser."""
    append_committed(shared)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append only"):
        shared.sql(f"{role}; {statement.format('vault_etl.audit_log')}")


def test_a_request_has_one_entry_a_phase(shared: Scratch) -> None:
    """A second intent, or outcome, of one request is refused."""
    request_id = uuid.uuid4()
    append_committed(shared, request_id=request_id)
    append_committed(shared, request_id=request_id, phase="outcome", decision="done")
    for changes in ({}, {"phase": "outcome", "decision": "failed"}):
        with pytest.raises(psycopg2.errors.UniqueViolation):
            append_committed(shared, request_id=request_id, **changes)


def test_letters_of_every_script_are_text(shared: Scratch) -> None:
    """Names and reasons in any language go in as they are."""
    reason = "Żółć 鍵 مفتاح 🔑 n°1 — “quoted”"
    assert entry(shared, append_committed(shared, reason=reason), "reason") == reason


def test_the_adapter_commits_before_it_returns(shared: Scratch) -> None:
    """When `intend` is back, another session sees the entry, and the receipt is of it."""
    with shared.database("reveal") as database:
        receipt = PostgresAuditLog(database).intend(request())
        stored = entry(shared, receipt.seq, "hash")
    assert isinstance(stored, memoryview)
    assert bytes(stored) == receipt.hash


def test_a_log_that_cannot_be_written_is_an_audit_error(shared: Scratch) -> None:
    """A refused entry raises AuditError, which quotes nothing of it."""
    with shared.database("reveal") as database, pytest.raises(AuditError) as raised:
        PostgresAuditLog(database).intend(request(reason="canary\n4711"))
    assert "canary" not in str(raised.value)


def test_a_session_that_holds_the_head_does_not_stop_the_others_for_good(scratch: Scratch) -> None:
    """The wait for the head has an end, after which the entry has failed and nothing is shown."""
    limit = scratch.value(
        "SELECT array_to_string(proconfig, ',') FROM pg_proc WHERE proname = 'audit_append'"
    )
    assert "lock_timeout=10s" in limit
    signature = scratch.value(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'audit_append'"
    )
    scratch.sql(f"ALTER FUNCTION {signature} SET lock_timeout = '200ms'")
    with scratch.connect("admin") as holder, holder.cursor() as cursor:
        append_open(cursor)
        with scratch.database("reveal") as database, pytest.raises(AuditError):
            PostgresAuditLog(database).intend(request())
