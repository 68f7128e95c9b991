"""Quarantine on a real server: long listings, and a move while others erase, load and move too."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kit.declarations import DEFAULT, IN_FORCE
from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.scratch import Scratch, new_record_id, sealed_record, sealed_rejection
from vault_etl.base.errors import DeniedError, IncompleteError
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.quarantine.mover import Moved, RestoredMessage
from vault_etl.quarantine.postgres import PostgresQuarantineMover, PostgresQuarantineReader
from vault_etl.quarantine.read import QuarantinedBody
from vault_etl.records.fenced_writes import KeysChanged, RowsRefused, WriteKeys
from vault_etl.records.messages import SealedRejection
from vault_etl.records.postgres import PostgresRecordLoader

ROWS = "SELECT record_id FROM quarantine ORDER BY quarantined_at, record_id"


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys, a data key that bodies are under, and those of who makes records of them."""
    scratch.add_token_keys()
    made = [scratch.add_data_key(field, role="re-encrypt") for field in PERSONAL_FIELDS]
    return WriteKeys((1, None), (*made, scratch.add_data_key(QUARANTINE)))


def load(scratch: Scratch, keys: WriteKeys, count: int) -> list[SealedRejection]:
    """Quarantine so many messages; in the order of their ids."""
    rows = [sealed_rejection(keys) for _ in range(count)]
    with scratch.loader() as loader:
        loader.load([], rows, keys)
    return sorted(rows, key=lambda row: row.record_id)


def releases(rows: Sequence[SealedRejection], keys: WriteKeys) -> list[RestoredMessage]:
    """Their way out."""
    return [
        RestoredMessage(
            QuarantinedBody(row.record_id, row.body_ciphertext, row.source_id),
            sealed_record(keys, record_id=row.record_id),
        )
        for row in rows
    ]


def move(
    scratch: Scratch, rows: Sequence[SealedRejection], keys: WriteKeys, role: str = "re-encrypt"
) -> Moved | KeysChanged | RowsRefused:
    """Move them, in a session of its own."""
    with scratch.database(role) as database:
        return PostgresQuarantineMover(database, DEFAULT).move(releases(rows, keys), keys)


def ids(rows: Sequence[SealedRejection]) -> Moved:
    """All of them moved."""
    return Moved(frozenset(row.record_id for row in rows))


def in_table(scratch: Scratch, table: str) -> set[uuid.UUID]:
    """The record ids in a table."""
    return {record_id for (record_id,) in scratch.sql(f"SELECT record_id FROM {table}")}  # noqa: S608


def fill(scratch: Scratch, count: int) -> None:
    """Store this number of rows with one and the same time."""
    scratch.sql(
        "INSERT INTO quarantine (record_id, reason_code, path)"
        " SELECT gen_random_uuid(), 'not_json', '$' FROM generate_series(1, %s)",
        count,
    )


def test_a_long_listing_names_each_row_once(scratch: Scratch) -> None:
    """2,500 rows in three pages, whose times do not tell them apart; with a limit, the newest of them."""
    fill(scratch, 2_500)
    every = [record_id for (record_id,) in scratch.sql(ROWS)]
    with scratch.database("reveal") as database:
        reader = PostgresQuarantineReader(database)
        assert [row.record_id for row in reader.rows()] == every
        assert [row.record_id for row in reader.rows(limit=1_500)] == every[-1_500:]


def test_a_listing_that_waits_holds_no_transaction(scratch: Scratch) -> None:
    """An open pager keeps no row from VACUUM, and the server does not end its session."""
    fill(scratch, 1_500)
    with scratch.database("reveal") as database:
        rows = PostgresQuarantineReader(database).rows()
        next(rows)
        state = "SELECT state FROM pg_stat_activity WHERE usename = 'test_reveal' AND datname = %s"
        assert scratch.value(state, scratch.name) == "idle"
        assert len(list(rows)) == 1_499


def test_one_session_moves_batch_after_batch(scratch: Scratch, keys: WriteKeys) -> None:
    """Each batch is moved whole."""
    rows = load(scratch, keys, 5)
    with scratch.database("re-encrypt") as database:
        mover = PostgresQuarantineMover(database, DEFAULT)
        for batch in (rows[:2], rows[2:]):
            assert mover.move(releases(batch, keys), keys) == ids(batch)
    assert in_table(scratch, "user_logins") == {row.record_id for row in rows}
    assert in_table(scratch, "quarantine") == set()


@pytest.mark.parametrize("role", ["ingest", "reveal", "rotate", "erase", "audit", "analyst"])
def test_no_other_role_moves(scratch: Scratch, keys: WriteKeys, role: str) -> None:
    """To take something out of quarantine is granted for a run."""
    rows = load(scratch, keys, 1)
    with pytest.raises(DeniedError):
        move(scratch, rows, keys, role)
    assert in_table(scratch, "quarantine") == {rows[0].record_id}


@pytest.mark.parametrize(
    "erasing",
    [
        "UPDATE vault_etl.quarantine SET body_ciphertext = NULL",
        "DELETE FROM vault_etl.quarantine",
        f"SELECT erase(gen_random_uuid(), 'a', 'h', record_id, NULL, NULL, 'x', {IN_FORCE}) FROM quarantine",  # noqa: S608 - a digest
    ],
    ids=["a body", "a row", "erase"],
)
def test_an_erasure_in_progress_wins(scratch: Scratch, keys: WriteKeys, erasing: str) -> None:
    """The move waits for it, reads the row again, and stores nothing."""
    rows = load(scratch, keys, 1)
    with scratch.connect() as eraser, eraser.cursor() as cursor:
        cursor.execute(erasing)
        timer = threading.Timer(0.3, eraser.commit)
        timer.start()
        assert move(scratch, rows, keys) == Moved(frozenset())
        timer.join()
    assert in_table(scratch, "user_logins") == set()


def test_an_erasure_that_comes_too_late_finds_no_row(scratch: Scratch, keys: WriteKeys) -> None:
    """The erasure waits for the move, and does not restore the row."""
    rows = load(scratch, keys, 1)
    assert move(scratch, rows, keys) == ids(rows)
    scratch.sql("UPDATE quarantine SET body_ciphertext = NULL")
    assert in_table(scratch, "quarantine") == set()


def test_two_moves_at_once_move_each_row_once(scratch: Scratch, keys: WriteKeys) -> None:
    """Eight sessions with the same twenty rows in either order: no deadlock, and no row counted twice."""
    rows = load(scratch, keys, 20)
    with ThreadPoolExecutor(8) as pool:
        orders = [rows, rows[::-1]] * 4
        results = list(pool.map(lambda order: move(scratch, order, keys), orders))
    assert all(isinstance(result, Moved) for result in results)
    moved = [i for result in results if isinstance(result, Moved) for i in result.record_ids]
    assert sorted(moved) == [row.record_id for row in rows]
    assert in_table(scratch, "user_logins") == {row.record_id for row in rows}


def test_an_ingest_of_the_same_messages_does_not_deadlock(
    scratch: Scratch, keys: WriteKeys
) -> None:
    """Ingest stores one message as a record and quarantines the other, while the retry holds both."""
    first, second = rows = load(scratch, keys, 2)
    with scratch.connect() as ingest, ingest.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SET deadlock_timeout = '50ms'; SET lock_timeout = '5s'")
        cursor.execute(
            "INSERT INTO vault_etl.user_logins (record_id, user_id, device_type, create_date)"
            " VALUES (%s, 'redelivered', 'ios', '2026-01-31')",
            (first.record_id,),
        )
        ours = pool.submit(move, scratch, rows, keys)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        while not scratch.value(waits):  # we hold the rows, and wait for the record
            assert not ours.done()
        cursor.execute(
            "INSERT INTO vault_etl.quarantine (record_id, reason_code, path) VALUES (%s, 'not_json', '$')"
            " ON CONFLICT (record_id) DO NOTHING",
            (second.record_id,),
        )
        ingest.commit()
        assert ours.result() == ids(rows)
    assert scratch.sql("SELECT user_id FROM user_logins WHERE record_id = %s", first.record_id) == [
        ("redelivered",)
    ]
    assert in_table(scratch, "quarantine") == set()


def test_re_encrypt_makes_the_months_that_it_needs(scratch: Scratch, keys: WriteKeys) -> None:
    """Re-encrypt makes months as ingest does, and the record is moved there."""
    sent = dt.datetime.now(dt.UTC) - dt.timedelta(days=300)
    (row,) = [dataclasses.replace(sealed_rejection(keys), record_id=new_record_id(sent))]
    with scratch.loader() as loader:
        loader.load([], [row], keys)
    with scratch.database("re-encrypt") as database:
        with pytest.raises(IncompleteError, match="no partition"):
            PostgresQuarantineMover(database, DEFAULT).move(releases([row], keys), keys)
        ranges = PostgresRecordLoader(database, DEFAULT).prepare_partitions(
            [(USER_LOGINS, sent.date())]
        )
        assert any(r.first <= row.record_id < r.end for r in ranges)
    assert move(scratch, [row], keys) == ids([row])
    assert in_table(scratch, f"user_logins_{sent:%Y_%m}") == {row.record_id}
