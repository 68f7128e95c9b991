"""The number of data keys that a login has of a field, and the short hold of the log when they are retired."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import DEVICE_ID, FIELDS, IP
from tests.kit.entries import append_committed
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import ARN, Scratch
from tests.kit.waiting import until
from vault_etl.base.errors import IncompleteError
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres_statement_errors import TOO_MANY_KEYS
from vault_etl.rotation.postgres import PostgresDataRotations

LIMIT: Final = 10_000
MAKE = f"""
INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)
SELECT %s + i, %s, '{ARN}', decode(repeat('ab', 184), 'hex'), '8 bytes!', clock_timestamp() + %s::interval
FROM generate_series(1, %s) AS i
"""  # noqa: S608 - a constant
OLD = f"""
INSERT INTO vault_etl.data_keys (
    key_id, field, kms_key_arn, wrapped_key, fingerprint, created_at, created_by, expires_at
)
SELECT 3000000 + i, 'ip', '{ARN}', 'w', '8 bytes!', now() - interval '26 hours', 'test_ingest',
    now() - interval '2 hours'
FROM generate_series(1, %s) AS i
"""  # noqa: S608 - a constant


def make(
    scratch: Scratch, count: int, first: int = 0, *, field: str = "ip", lease: str = "24 hours"
) -> None:
    """Make this many keys in one statement, as a thief with the password of `ingest` would."""
    scratch.sql(MAKE, first, field, lease, count, role="ingest")


def refused(scratch: Scratch, count: int, first: int = 0, **changes: str) -> bool:
    """Say whether the limit refuses that statement."""
    try:
        make(scratch, count, first, **changes)
    except psycopg2.Error as error:
        return error.pgcode == TOO_MANY_KEYS
    return False


@pytest.fixture
def full(scratch: Scratch) -> Scratch:
    """A database whose login has as many keys of `ip` as it may."""
    make(scratch, LIMIT - 1)
    make(scratch, 1, LIMIT)
    return scratch


def test_a_single_statement_makes_no_more_than_the_limit(scratch: Scratch) -> None:
    """The attack made 400,000; keys whose lease is over already count as well."""
    assert refused(scratch, LIMIT + 1)
    assert refused(scratch, LIMIT + 1, lease="-1 hour")
    assert scratch.key_states() == {}


def test_many_statements_make_no_more_than_the_limit(full: Scratch) -> None:
    """The limit is for a field and a login: the error gives the remedy, and retired keys make room."""
    assert refused(full, 1, 2 * LIMIT)
    assert refused(full, 1, 2 * LIMIT, lease="-1 hour")
    with pytest.raises(IncompleteError) as raised:
        full.add_data_key(IP)
    assert "keys rotate" in str(raised.value.hint)
    full.add_data_key(DEVICE_ID)
    full.add_data_key(IP, role="re-encrypt")
    with full.database("rotate") as database:
        PostgresKeyStore(database).retire_data_keys(rotate_request(), [IP])
    full.add_data_key(IP)


def test_sessions_make_no_more_than_the_limit_together(scratch: Scratch) -> None:
    """The second session waits for the commit of the first, and sees its keys; both have made a key before."""
    make(scratch, 1, 3 * LIMIT)
    with (
        scratch.connect("ingest") as first,
        first.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute(MAKE, (0, "ip", "24 hours", LIMIT // 2 + 1))
        second = pool.submit(refused, scratch, LIMIT // 2, LIMIT)
        until(lambda: scratch.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        first.commit()
        assert second.result()


def test_an_old_transaction_makes_no_old_keys(scratch: Scratch) -> None:
    """Keys as old as a transaction that has been open for a day would not count any more."""
    with scratch.connect("ingest") as opened, opened.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.01)")
        cursor.execute(MAKE, (0, "ip", "1 hour", 1))
        cursor.execute("SELECT bool_and(created_at > now()) FROM vault_etl.data_keys")
        assert cursor.fetchall() == [(True,)]


def test_a_snapshot_of_before_makes_no_key(scratch: Scratch) -> None:
    """An old snapshot would not see the keys that other sessions have made meanwhile."""
    with scratch.connect("ingest") as opened, opened.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(MAKE, (0, "ip", "1 hour", 1))


@pytest.mark.parametrize("whole", [False, True], ids=["lazy", "whole"])
def test_a_rotation_at_the_limit_holds_up_no_writer(full: Scratch, *, whole: bool) -> None:
    """Others write the log meanwhile; old keys are retired 5,000 at a time, with an entry each."""
    make(full, LIMIT, 1_000_000, field="device_id")
    make(full, LIMIT, 2_000_000, field="quarantine")
    full.sql(OLD, 10_001)
    over = threading.Event()

    def look() -> int:
        looks = 0
        while not over.is_set():
            append_committed(full, "rotate", action="keys rewrap")
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool, full.database("re-encrypt") as database:
        looks = pool.submit(look)
        try:
            if whole:
                begun = PostgresDataRotations(database, DEFAULT).begin(rotate_request(), FIELDS, 1)
                retired: object = begun.retired
                assert begun.old_keys == set(begun.retired)
            else:
                retired = PostgresKeyStore(database).retire_data_keys(rotate_request(), FIELDS)
        finally:
            over.set()
        assert looks.result() > 0
    assert len(set(retired)) == 3 * LIMIT + 10_001  # type: ignore[call-overload]
    assert set(full.key_states().values()) == {"decrypt_only"}
    changed = full.sql("SELECT count(*) FROM vault_etl.key_changes GROUP BY seq ORDER BY seq")
    assert [count for (count,) in changed] == [5_000, 5_000, 1, 3 * LIMIT]
    assert full.sql("SELECT * FROM vault_etl.unexplained_keys(NULL)", role="audit") == []
