"""`quarantine_discard` beside who else moves, changes or brings quarantined messages: no row goes without its entry."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT, IN_FORCE
from tests.kit.fakes.identity import ACTOR
from tests.kit.scratch import Scratch, ciphertext, sealed_rejection
from tests.kit.swaps import outside
from tests.kit.waiting import until
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE
from vault_etl.quarantine.discard import Discarded
from vault_etl.quarantine.postgres import PostgresQuarantineDiscarder
from vault_etl.quarantine.read import QuarantineFilter
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.messages import SealedRejection
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.ranges import Swap
from vault_etl.rotation.reencrypt import Replacement, SealedRow

DISCARD = (
    "SELECT messages FROM quarantine_discard("
    "gen_random_uuid(), 'a', 'h', NULL, 'r', NULL, NULL, NULL, now(), NULL)"
)
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
RETRY = "DELETE FROM vault_etl.quarantine WHERE record_id = ANY (%s)"
"""What a retry does last to what it has stored."""


@pytest.fixture(scope="module")
def keys(shared: Scratch) -> WriteKeys:
    """Token keys, and a data key that bodies are under."""
    shared.add_token_keys()
    return shared.write_keys(QUARANTINE)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Return a pool of one session beside the test's own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def rows(shared: Scratch, keys: WriteKeys) -> list[SealedRejection]:
    """Three quarantined messages alone, in the order of their ids."""
    shared.sql("DELETE FROM quarantine")
    made = [sealed_rejection(keys) for _ in range(3)]
    load(shared, keys, made)
    return sorted(made, key=lambda row: row.record_id)


def load(shared: Scratch, keys: WriteKeys, rows: Sequence[SealedRejection]) -> None:
    """Load as ingest does."""
    with shared.loader() as loader:
        loader.load([], rows, keys)


def discard(shared: Scratch, *ids: uuid.UUID) -> Discarded | None:
    """Discard these, or everything, in a session of its own."""
    request = AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.QUARANTINE_DISCARD,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        fields=(QUARANTINE,),
    )
    wanted = QuarantineFilter(until=None if ids else dt.datetime.now(dt.UTC))
    with shared.database("erase") as database:
        return PostgresQuarantineDiscarder(database).discard(request, wanted, ids or None)


def wait_for(shared: Scratch, beside: Future[Any]) -> None:
    """Until the other session waits for a row of ours."""
    until(lambda: shared.value(WAITS), lives=lambda: not beside.done())


def left(shared: Scratch) -> set[uuid.UUID]:
    """The ids in quarantine."""
    return {record_id for (record_id,) in shared.sql("SELECT record_id FROM quarantine")}


def last_entry(shared: Scratch) -> tuple[str, uuid.UUID | None]:
    """Return text and record of the newest outcome."""
    ((reason, record_id),) = shared.sql(
        "SELECT reason, record_id FROM audit_log ORDER BY seq DESC LIMIT 1"
    )
    return reason.partition(",")[0], record_id


def test_what_a_retry_moves_meanwhile_is_not_discarded(
    shared: Scratch, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """The rest is, and the entry counts what went."""
    with shared.connect("re-encrypt") as retry, retry.cursor() as cursor:
        cursor.execute(RETRY, ([rows[0].record_id],))
        beside = pool.submit(discard, shared)
        wait_for(shared, beside)
        retry.commit()
    done = beside.result()
    assert done is not None
    assert done.messages == 2
    assert last_entry(shared) == ("discarded messages: 2", None)
    assert left(shared) == set()


def test_a_whole_batch_that_a_retry_moves_is_not_the_end(
    shared: Scratch, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """The discard continues with the messages after it."""
    shared.sql(
        "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext, quarantined_at)"
        " SELECT gen_random_uuid(), 'not_json', 'old', body_ciphertext, now() - interval '1 day'"
        " FROM generate_series(1, 1000), (SELECT body_ciphertext FROM quarantine LIMIT 1) AS one"
    )
    with shared.connect("re-encrypt") as retry, retry.cursor() as cursor:
        cursor.execute("DELETE FROM vault_etl.quarantine WHERE path = 'old'")
        beside = pool.submit(discard, shared)
        wait_for(shared, beside)
        retry.commit()
    done = beside.result()
    assert done is not None
    assert done.messages == len(rows)
    assert left(shared) == set()


@pytest.mark.parametrize("moved", [2, 3])
def test_a_message_that_is_quarantined_again_meanwhile_stays(
    shared: Scratch,
    keys: WriteKeys,
    rows: list[SealedRejection],
    pool: ThreadPoolExecutor,
    moved: int,
) -> None:
    """A retry moves some or all, and the first is quarantined again before the discard has all locks."""
    first = rows[0].record_id
    others = [row.record_id for row in rows[1:moved]]
    with shared.connect("re-encrypt") as one, shared.connect("re-encrypt") as two:
        one.cursor().execute(RETRY, ([first],))
        two.cursor().execute(RETRY, (others,))
        beside = pool.submit(discard, shared, *(row.record_id for row in rows))
        wait_for(shared, beside)
        one.commit()
        blocked_by_two = (
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        )
        until(
            lambda: shared.value(blocked_by_two, two.info.backend_pid),
            lives=lambda: not beside.done(),
        )
        load(shared, keys, rows[:1])
        two.commit()
    done = beside.result()
    assert done is not None
    # With all three moved it looks again, and finds the one that came again.
    assert done.messages == 1
    assert last_entry(shared)[0] == "discarded messages: 1"
    assert left(shared) == ({first} if moved == 2 else set())


def test_a_body_that_is_erased_meanwhile_stays_erased(
    shared: Scratch, keys: WriteKeys, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """The row stays, and a new delivery of the message conflicts with it."""
    erased = rows[0].record_id
    with shared.connect() as eraser, eraser.cursor() as cursor:
        cursor.execute(
            f"SELECT erase(gen_random_uuid(), 'a', 'h', %s::uuid, NULL, NULL, 'x', {IN_FORCE})",
            (str(erased),),
        )
        eraser.commit()
        cursor.execute(
            "UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s",
            (str(rows[1].record_id),),
        )
        beside = pool.submit(discard, shared)
        wait_for(shared, beside)
        eraser.commit()
    done = beside.result()
    assert done is not None
    assert done.messages == 1
    assert discard(shared) is None
    load(shared, keys, rows)
    bodies = dict(shared.sql("SELECT record_id, body_ciphertext IS NULL FROM quarantine"))
    assert bodies == {row.record_id: row is not rows[2] for row in rows}


def test_a_body_that_a_rotation_seals_again_is_discarded(
    shared: Scratch, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """The discard waits for the swap, and takes the row with its new body."""
    with shared.connect() as rotation, rotation.cursor() as cursor:
        cursor.execute("UPDATE quarantine SET body_ciphertext = %s", (ciphertext(7),))
        beside = pool.submit(discard, shared)
        wait_for(shared, beside)
        rotation.commit()
    done = beside.result()
    assert done is not None
    assert done.messages == len(rows)
    assert left(shared) == set()


def test_a_rotation_skips_messages_that_are_discarded_meanwhile(
    shared: Scratch, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """The rotation waits for the discard, replaces nothing, and restores no row."""
    key = shared.add_data_key(QUARANTINE, role="re-encrypt")
    swaps = [
        Replacement(
            SealedRow(QUARANTINE_TABLE, row.record_id, "", {QUARANTINE: row.body_ciphertext}),
            {QUARANTINE: ciphertext(key.key_id)},
        )
        for row in rows
    ]

    def reencrypt() -> Swap | None:
        with shared.database("re-encrypt") as database:
            return PostgresReencrypter(database, DEFAULT).replace(
                swaps, [key], outside(QUARANTINE_TABLE)
            )

    with shared.connect() as eraser, eraser.cursor() as cursor:
        cursor.execute(DISCARD)
        beside = pool.submit(reencrypt)
        wait_for(shared, beside)
        eraser.commit()
    assert beside.result() == Swap(0, 0)
    assert left(shared) == set()


def test_an_ingest_of_the_same_message_quarantines_it_again(
    shared: Scratch, keys: WriteKeys, rows: list[SealedRejection], pool: ThreadPoolExecutor
) -> None:
    """Ingest waits for the discard: no redelivered message is lost."""
    with shared.connect() as eraser, eraser.cursor() as cursor:
        cursor.execute(DISCARD)
        beside = pool.submit(load, shared, keys, rows)
        wait_for(shared, beside)
        eraser.commit()
    beside.result()
    assert left(shared) == {row.record_id for row in rows}


@pytest.mark.parametrize("given", ["twice", "with another"])
def test_the_entry_names_the_one_that_went(
    shared: Scratch, rows: list[SealedRejection], given: str
) -> None:
    """However many ids were asked for."""
    one = rows[0].record_id
    done = discard(shared, one, one if given == "twice" else uuid.uuid4())
    assert done is not None
    assert last_entry(shared) == ("discarded messages: 1", one)
