"""The number of values under each key: every writer keeps it, and it equals a count of the rows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT, IN_FORCE
from tests.kit.declared import FIELDS, IP
from tests.kit.scratch import (
    Scratch,
    ciphertext,
    new_record_id,
    sealed_record,
    sealed_rejection,
)
from tests.kit.swaps import outside, swaps
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter

RECORDS = 6
FOLD = "CALL vault_etl.commit_fold_value_counts(NULL)"


@pytest.fixture(scope="module")
def keys(shared: Scratch) -> WriteKeys:
    """Active token keys, and a data key a field."""
    shared.add_token_keys()
    return shared.write_keys(*FIELDS)


@pytest.fixture
def counted(shared: Scratch, keys: WriteKeys) -> Iterator[Scratch]:
    """A database with some records and a quarantined body, counted."""
    with shared.loader() as loader:
        loader.load([sealed_record(keys) for _ in range(RECORDS)], [sealed_rejection(keys)], keys)
    yield shared
    shared.sql("TRUNCATE vault_etl.user_logins, vault_etl.quarantine")
    assert kept(shared) == {}


def kept(database: Scratch) -> dict[tuple[str, int], int]:
    """The stored counts that are not 0."""
    return {
        (field, key_id): int(held)
        for field, key_id, held in database.sql(
            "SELECT field, id, sum(held) FROM vault_etl.value_counts GROUP BY 1, 2 HAVING sum(held) <> 0"
        )
    }


def miscounted(database: Scratch) -> list[tuple[object, ...]]:
    """Return the keys whose kept counts differ from the rows."""
    return database.sql("SELECT * FROM vault_etl.values_miscounted()", role="audit")


def test_a_load_counts_its_values(counted: Scratch, keys: WriteKeys) -> None:
    """Values count for each key, in the month of the record ids; tokens count the rows of their generation."""
    ip, device_id, quarantine = (key.key_id for key in keys.data_keys)
    assert kept(counted) == {
        ("ip", ip): RECORDS,
        ("device_id", device_id): RECORDS,
        ("quarantine", quarantine): 1,
        ("token", 1): RECORDS,
    }
    assert miscounted(counted) == []


@pytest.mark.parametrize("first", [0, 1])
def test_a_batch_of_two_months_counts_for_both(
    counted: Scratch, keys: WriteKeys, first: int
) -> None:
    """The last millisecond of a month and the first of the next are told apart, whichever row comes first."""
    midnight = dt.datetime.now(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    edges = [midnight, midnight - dt.timedelta(milliseconds=1)]
    ids = [new_record_id(moment) for moment in (edges[first], edges[1 - first])]
    with counted.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO vault_etl.user_logins (record_id, user_id, device_type, ip_ciphertext, create_date)"
            " SELECT id, 'u', 'ios', %s, now() FROM unnest(%s) AS id",
            (ciphertext(keys.data_keys[0].key_id), ids),
        )
        connection.commit()
    assert miscounted(counted) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vault_etl.user_logins SET ip_ciphertext = NULL, token_generation = NULL",
        "UPDATE vault_etl.user_logins SET next_token_generation = 2",
        "UPDATE vault_etl.quarantine SET body_ciphertext = NULL",
        "DELETE FROM vault_etl.quarantine",
        "DELETE FROM vault_etl.user_logins WHERE record_id > (SELECT min(record_id::text)::uuid FROM user_logins)",
        "UPDATE vault_etl.user_logins SET user_id = 'another'",
    ],
)
def test_every_writer_is_counted(counted: Scratch, statement: str) -> None:
    """The owner and the superuser are counted too, whom the other triggers let pass."""
    counted.sql(statement)
    assert miscounted(counted) == []


def test_a_swap_and_an_erasure_are_counted(counted: Scratch, keys: WriteKeys) -> None:
    """A rotation moves a count from one key to another; an erasure lowers it."""
    records = [sealed_record(keys)]
    with counted.loader() as loader:
        loader.load(records, [], keys)
    new = counted.add_data_key(IP, role="re-encrypt")
    with counted.database("re-encrypt") as database:
        swap = PostgresReencrypter(database, DEFAULT).replace(swaps(records, new), [new], outside())
    assert swap is not None
    assert kept(counted)["ip", new.key_id] == 1
    assert kept(counted)["ip", keys.data_keys[0].key_id] == RECORDS
    counted.sql(
        "CALL vault_etl.commit_erase(gen_random_uuid(), 'a', 'h', %s, NULL, 't', 'r',"
        f" {IN_FORCE}, NULL, NULL, NULL, NULL, NULL, NULL)",
        records[0].record_id,
        role="erase",
    )
    assert ("ip", new.key_id) not in kept(counted)
    assert miscounted(counted) == []


def test_no_writer_waits_for_a_count(counted: Scratch) -> None:
    """Two sessions delete values of one key at once: each has a count row of its own."""
    half = "UPDATE vault_etl.user_logins SET ip_ciphertext = NULL WHERE record_id = %s"
    first, second = (row[0] for row in counted.sql("SELECT record_id FROM user_logins LIMIT 2"))
    with counted.connect() as one, counted.connect() as other:
        with one.cursor() as cursor:
            cursor.execute(half, (first,))
        with other.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute(half, (second,))
        other.commit()
        one.commit()
    assert miscounted(counted) == []


def test_counts_of_sessions_that_ended_become_one(counted: Scratch, keys: WriteKeys) -> None:
    """Each connection leaves rows of its own: the next start of ingest folds them, and leaves out what came to nothing.

    One that is still there keeps its own, and the sum is what it was.
    """
    rows = "SELECT count(*) FROM value_counts WHERE field = 'ip' AND writer <> %s"
    record = sealed_record(keys)
    for _ in range(3):
        with counted.loader() as loader:
            loader.load([sealed_record(keys)], [], keys)
    with counted.connect() as alive, alive.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((mine,),) = cursor.fetchall()
        cursor.execute(
            "UPDATE user_logins SET device_id_ciphertext = NULL WHERE record_id <> %s",
            (record.record_id,),
        )
        alive.commit()
        before = kept(counted)
        assert counted.value(rows, mine) == 4
        with counted.loader() as loader:
            loader.prepare_partitions()
        assert counted.value(rows, mine) == 1
        assert kept(counted) == before
        assert counted.value("SELECT count(*) FROM value_counts WHERE writer = %s", mine) > 0
    counted.sql(FOLD, role="ingest")
    assert counted.value("SELECT count(*) FROM value_counts WHERE field = 'device_id'") == 0
    assert miscounted(counted) == []


def test_a_second_fold_at_the_same_time_does_nothing(counted: Scratch) -> None:
    """The second session does not fold, and does not wait."""
    with counted.connect() as one, one.cursor() as cursor:
        cursor.execute("SELECT vault_etl.fold_value_counts()")
        assert counted.value(FOLD, role="ingest") == 0


@pytest.mark.parametrize("role", ["ingest", "re-encrypt", "admin"])
def test_a_fold_with_an_old_list_of_sessions_stops_no_writer(counted: Scratch, role: str) -> None:
    """No client keeps rows; the owner, who can, does not fold those of a session that began since."""
    write = "UPDATE vault_etl.user_logins SET ip_ciphertext = NULL WHERE record_id = %s"
    first, second = (row[0] for row in counted.sql("SELECT record_id FROM user_logins LIMIT 2"))
    with counted.connect(role) as idle, idle.cursor() as folding:
        folding.execute("SELECT count(*) FROM pg_stat_activity")  # the server keeps this list
        with counted.connect() as alive, alive.cursor() as writing:
            writing.execute("SET lock_timeout = '5s'")
            writing.execute(write, (first,))
            alive.commit()
            with suppress(psycopg2.errors.InsufficientPrivilege):
                folding.execute("SELECT vault_etl.fold_value_counts()")
            writing.execute(write, (second,))
            alive.commit()
    assert miscounted(counted) == []


def test_a_month_that_came_by_hand_is_counted_again(counted: Scratch) -> None:
    """Rows written into a partition, past the triggers, are reported, and counted without a lock."""
    before = kept(counted)
    (month,) = counted.sql("SELECT DISTINCT tableoid::regclass::text FROM vault_etl.user_logins")[0]
    counted.sql(
        f"INSERT INTO vault_etl.{month} (record_id, user_id, device_type, ip_ciphertext, create_date)"  # noqa: S608
        " SELECT overlay(record_id::text PLACING 'fff' FROM 34)::uuid, 'u', 'ios', %s, create_date"
        f" FROM vault_etl.{month} LIMIT 1",
        ciphertext(7),
    )
    ((field, key_id, _, was, now),) = miscounted(counted)
    assert (field, key_id, was, now) == ("ip", 7, 0, 1)
    assert counted.value("SELECT vault_etl.recount_values()") == 1
    assert miscounted(counted) == []
    assert kept(counted) == {**before, ("ip", 7): 1}


def test_a_zero_that_is_wrong_ends_no_key(counted: Scratch, keys: WriteKeys) -> None:
    """A key that no count needs is searched in the rows before it is destroyed."""
    key_id = keys.data_keys[0].key_id
    needs = "SELECT in_records FROM vault_etl.needs_of_data_key(%s)"
    counted.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s", key_id)
    assert counted.value(needs, key_id, role="rotate") == RECORDS
    counted.sql("DELETE FROM vault_etl.value_counts")
    assert counted.value(needs, key_id, role="rotate") == RECORDS
    assert (
        counted.value("SELECT rows FROM vault_etl.key_usage(true) WHERE key_id = %s", key_id)
        == RECORDS
    )


@pytest.mark.parametrize(
    ("record_id", "month"),
    [
        (uuid.UUID(int=0), "1970-01-01"),
        (uuid.UUID("0199ec9b-7bff-7fff-8000-000000000000"), "2025-10-01"),
        (uuid.UUID(int=2**128 - 1), "10889-08-01"),
    ],
)
def test_the_month_is_that_of_the_id(shared: Scratch, record_id: uuid.UUID, month: str) -> None:
    """The first day of the month in which its milliseconds lie, in UTC, whatever the session's zone."""
    assert shared.value("SELECT vault_etl.month_of(%s::uuid)::text", record_id) == month


def test_a_month_on_its_way_out_is_counted(scratch: Scratch) -> None:
    """No query of the table sees its rows: a recount without them would let their keys be destroyed."""
    scratch.add_token_keys()
    keys = scratch.write_keys(*FIELDS)
    with scratch.loader() as loader:
        loader.load([sealed_record(keys)], [], keys)
    ((partition,),) = scratch.sql("SELECT tableoid::regclass::text FROM vault_etl.user_logins")
    scratch.sql(f"ALTER TABLE vault_etl.user_logins DETACH PARTITION {partition}")
    assert miscounted(scratch) == []
    assert scratch.value("SELECT vault_etl.recount_values()") == 0
    (data_key, *_) = keys.data_keys
    counted = scratch.sql("SELECT id, held FROM vault_etl.values_counted()")
    assert (data_key.key_id, 1) in counted
    assert scratch.sql("SELECT tokens FROM vault_etl.needs_of_generation(1::smallint, true)") == [
        (1,)
    ]
