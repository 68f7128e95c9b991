"""The erase function in the database: all or nothing, behind the fence, and it wins over who swaps."""

from __future__ import annotations

import datetime as dt
import uuid

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT, IN_FORCE
from tests.kit.declared import FIELDS, IP, PERSONAL_FIELDS
from tests.kit.scratch import (
    Scratch,
    ciphertext,
    new_record_id,
    sealed_record,
    sealed_rejection,
)
from tests.kit.swaps import replaced, swaps
from tests.kit.waiting import in_the_way
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import VaultEtlError
from vault_etl.crypto.fields import FieldName
from vault_etl.erase.erase import Erasure, RecordTarget, Target, UserTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.ranges import Swap

ERASE = (
    "SELECT records, bodies, seq FROM vault_etl.erase("  # noqa: S608 - a digest
    f"gen_random_uuid(), 'a', 'h', %(record_id)s, %(user_id)s, NULL, 'a test', {IN_FORCE})"
)
FORGOTTEN = (
    "SELECT num_nonnulls(masked_ip, masked_device_id, next_masked_ip, next_masked_device_id, ip_ciphertext,"
    " device_id_ciphertext, token_generation, next_token_generation) = 0 FROM user_logins WHERE record_id = %s"
)


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys, and a data key a field."""
    scratch.add_token_keys()
    return scratch.write_keys(*FIELDS)


def stored(
    scratch: Scratch, keys: WriteKeys, count: int = 1, **changes: object
) -> list[SealedRecord]:
    """Records that are in the database."""
    records = [sealed_record(keys, **changes) for _ in range(count)]
    with scratch.loader() as loader:
        loader.load(records, [], keys)
    return records


def erased(scratch: Scratch, target: Target) -> Erasure | None:
    """Erase through the real adapter, under the role's own login."""
    request = AuditRequest(
        request_id=uuid.uuid4(), action=Action.ERASE, actor="a", host="h", reason="a test"
    )
    with scratch.database("erase") as database:
        return PostgresEraser(database, DEFAULT).erase(request, target)


def of(record: SealedRecord) -> dict[str, object]:
    """The arguments of `ERASE` for one record."""
    return {"record_id": record.record_id, "user_id": None}


def test_it_erases_in_every_partition(scratch: Scratch, keys: WriteKeys) -> None:
    """A user's records of this month, of another one and without a date are all forgotten."""
    now = dt.datetime.now(dt.UTC)
    days = (now, now - dt.timedelta(days=32), dt.datetime.fromtimestamp(0, dt.UTC))
    ids = [new_record_id(day) for day in days]
    for record_id in ids:
        stored(scratch, keys, record_id=record_id, user_id="ann")
    assert scratch.value("SELECT count(DISTINCT tableoid) FROM user_logins") == 3
    erasure = erased(scratch, UserTarget("ann"))
    assert erasure is not None
    assert erasure.records == 3
    assert [scratch.value(FORGOTTEN, record_id) for record_id in ids] == [True] * 3


def test_no_entry_no_erasure(scratch: Scratch, keys: WriteKeys) -> None:
    """If the log does not take the entry, nothing is erased."""
    (record,) = stored(scratch, keys)
    rows = "SELECT user_logins::text FROM user_logins"
    before = scratch.value(rows)
    scratch.sql("ALTER TABLE audit_log ADD CONSTRAINT no CHECK (phase <> 'outcome') NOT VALID")
    with pytest.raises(VaultEtlError):
        erased(scratch, RecordTarget(record.record_id))
    assert scratch.value(rows) == before
    assert scratch.value("SELECT count(*) FROM audit_log") == 0


def test_no_erasure_no_entry(scratch: Scratch, keys: WriteKeys) -> None:
    """Who rolls back, as the superuser may, has neither: no entry claims what is not so."""
    (record,) = stored(scratch, keys)
    with scratch.connect("admin") as connection, connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        cursor.execute(ERASE, of(record))
        assert cursor.fetchall()[0][0] == 1
        cursor.execute("ROLLBACK TO before")
        connection.commit()
    assert not scratch.value(FORGOTTEN, record.record_id)
    assert scratch.value("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_it_is_read_committed_or_nothing(scratch: Scratch, keys: WriteKeys, level: str) -> None:
    """In a stricter level it would not see what it waited for."""
    (record,) = stored(scratch, keys)
    with scratch.connect("admin") as connection, connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(psycopg2.errors.InvalidTransactionState):
            cursor.execute(ERASE, of(record))


@pytest.mark.parametrize(("record_id", "user_id"), [(None, None), (uuid.UUID(int=1), "ann")])
@pytest.mark.parametrize(
    "call", [ERASE, "SELECT vault_etl.erase_preview(%(record_id)s, %(user_id)s)"]
)
def test_it_is_of_one_record_or_of_one_user(
    scratch: Scratch, call: str, record_id: uuid.UUID | None, user_id: str | None
) -> None:
    """Neither and both are refused: NULL never means everything."""
    with (
        scratch.connect("admin") as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InvalidParameterValue),
    ):
        cursor.execute(call, {"record_id": record_id, "user_id": user_id})


def test_it_takes_the_fence_before_it_touches_a_row(scratch: Scratch, keys: WriteKeys) -> None:
    """With the fence closed it waits, and holds nothing on the records; then it erases."""
    (record,) = stored(scratch, keys)
    held = "SELECT count(*) FROM pg_locks WHERE relation = 'user_logins'::regclass AND granted"
    with scratch.connect("rotate") as closing, closing.cursor() as cursor:
        cursor.execute("LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE")
        with in_the_way(scratch, lambda: erased(scratch, RecordTarget(record.record_id))):
            assert scratch.value(held) == 0
            closing.commit()
    assert scratch.value(FORGOTTEN, record.record_id)


def test_it_holds_off_changes_of_keys_and_no_loader(scratch: Scratch, keys: WriteKeys) -> None:
    """Until it commits the fence cannot be closed; batches pass."""
    (record,) = stored(scratch, keys)
    with scratch.connect("admin") as connection, connection.cursor() as cursor:
        cursor.execute(ERASE, of(record))
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            scratch.sql(
                "BEGIN; LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE NOWAIT",
                role="rotate",
            )
        scratch.sql(
            "BEGIN; LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE NOWAIT", role="ingest"
        )
        assert len(stored(scratch, keys, 3)) == 3


def test_it_wins_over_a_swap_that_comes_first(scratch: Scratch, keys: WriteKeys) -> None:
    """A rotation that has put new bytes there, and not committed, is waited for; they go too."""
    (record,) = stored(scratch, keys)
    swap = "UPDATE user_logins SET ip_ciphertext = %s WHERE record_id = %s AND ip_ciphertext = %s"
    new = ciphertext(scratch.add_data_key(IP, role="re-encrypt").key_id)
    with scratch.connect("re-encrypt") as rotating, rotating.cursor() as cursor:
        old = record.ciphertexts[IP]
        cursor.execute(swap, (new, record.record_id, old))
        assert cursor.rowcount == 1
        with in_the_way(scratch, lambda: erased(scratch, RecordTarget(record.record_id))):
            rotating.commit()
    assert scratch.value(FORGOTTEN, record.record_id)


def test_it_wins_over_a_swap_that_comes_second(scratch: Scratch, keys: WriteKeys) -> None:
    """A rotation that has read the old bytes finds NULL in their place, and swaps the others only."""
    forgotten, other = stored(scratch, keys, 2)

    ip = scratch.add_data_key(IP, role="re-encrypt")

    def swap() -> Swap | None:
        return replaced(scratch, swaps([forgotten, other], ip), ip)

    with scratch.connect("admin") as erasing, erasing.cursor() as cursor:
        cursor.execute(ERASE, of(forgotten))
        with in_the_way(scratch, swap) as swapped:
            erasing.commit()
    assert swapped == [Swap(1, 1)]
    assert scratch.value(FORGOTTEN, forgotten.record_id)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_no_next_token_comes_back(scratch: Scratch, keys: WriteKeys, field: FieldName) -> None:
    """A backfill that compares the old token and the old ciphertext finds neither."""
    (record,) = stored(scratch, keys)
    erased(scratch, RecordTarget(record.record_id))
    backfilled = scratch.sql(
        f"UPDATE user_logins SET next_masked_{field} = gen_random_uuid(), next_token_generation = 2"  # noqa: S608
        f" WHERE masked_{field} = %s AND {field}_ciphertext = %s RETURNING record_id",
        record.tokens[field],
        record.ciphertexts[field],
        role="re-encrypt",
    )
    assert backfilled == []


def test_a_message_that_a_retry_moves_meanwhile_is_forgotten_where_it_went(
    scratch: Scratch, keys: WriteKeys
) -> None:
    """It waits for the move out of quarantine, and then sees the record that came of it."""
    rejection = sealed_rejection(keys)
    with scratch.loader() as loader:
        loader.load([], [rejection], keys)
    with scratch.connect() as retrying, retrying.cursor() as cursor:
        cursor.execute("DELETE FROM quarantine WHERE record_id = %s", (rejection.record_id,))
        cursor.execute(
            "INSERT INTO user_logins (record_id, user_id, device_type, masked_ip, ip_ciphertext,"
            " token_generation, create_date) VALUES (%s, 'u', 'd', gen_random_uuid(), %s, 1, now())",
            (rejection.record_id, ciphertext(1)),
        )
        with in_the_way(
            scratch, lambda: erased(scratch, RecordTarget(rejection.record_id))
        ) as done:
            retrying.commit()
    assert (done[0].records, done[0].bodies) == (1, 0)
    assert scratch.value(FORGOTTEN, rejection.record_id)


def test_two_at_once_are_one_after_the_other(scratch: Scratch, keys: WriteKeys) -> None:
    """The second waits, finds nothing left, and both are on the record, in one chain."""
    (record,) = stored(scratch, keys)
    with scratch.connect("admin") as first, first.cursor() as cursor:
        cursor.execute(ERASE, of(record))
        with in_the_way(scratch, lambda: erased(scratch, RecordTarget(record.record_id))) as second:
            first.commit()
    assert (second[0].records, second[0].seq) == (0, 4)
    links = scratch.sql(
        "SELECT hash, lead(prev_hash) OVER (ORDER BY seq) FROM audit_log ORDER BY seq"
    )
    assert all(bytes(hash_) == bytes(after) for hash_, after in links[:-1])


def test_what_is_forgotten_needs_no_key(scratch: Scratch, keys: WriteKeys) -> None:
    """`keys destroy` may count on it: data keys and token keys lose the row."""
    (record,) = stored(scratch, keys)
    erased(scratch, RecordTarget(record.record_id))
    with scratch.database("audit") as database:
        assert {used.rows for used in PostgresKeyStore(database).usage()} == {0}


def test_the_row_stays_for_a_message_that_comes_again(scratch: Scratch, keys: WriteKeys) -> None:
    """A redelivered message conflicts with the row, in quarantine too, and brings nothing back."""
    (record,) = stored(scratch, keys)
    rejection = sealed_rejection(keys)
    with scratch.loader() as loader:
        loader.load([], [rejection], keys)
        for record_id in (record.record_id, rejection.record_id):
            erased(scratch, RecordTarget(record_id))
        again = loader.load([record], [rejection], keys)
    assert (again.record_ids, again.rejection_ids) == (frozenset(), frozenset())  # type: ignore[union-attr]
    assert scratch.value(FORGOTTEN, record.record_id)
    assert scratch.value("SELECT body_ciphertext FROM quarantine") is None


def test_a_log_that_somebody_locks_stops_it(scratch: Scratch, keys: WriteKeys) -> None:
    """It gives up after ten seconds, three times, and nothing is erased; the fence is free again."""
    (record,) = stored(scratch, keys)
    scratch.sql("ALTER FUNCTION vault_etl.erase SET lock_timeout = '100ms'")
    with scratch.connect() as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_turn IN EXCLUSIVE MODE")
        with pytest.raises(VaultEtlError, match="a lock was not granted in time"):
            erased(scratch, RecordTarget(record.record_id))
    assert not scratch.value(FORGOTTEN, record.record_id)
    scratch.sql(
        "BEGIN; LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE NOWAIT", role="rotate"
    )
