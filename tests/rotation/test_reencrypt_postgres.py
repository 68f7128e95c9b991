"""Counts of the values under a key, and re-encryption that loses no concurrent change."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, IP, PERSONAL_FIELDS
from tests.kit.scratch import Scratch, ciphertext, sealed_record, sealed_rejection
from tests.kit.swaps import everything, open_data_rotation, outside, replaced, swaps
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, FieldName
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.ranges import OpenRotation, Swap
from vault_etl.rotation.reencrypt import Replacement


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys, and a data key a field."""
    scratch.add_token_keys()
    return scratch.write_keys(*FIELDS)


def load(scratch: Scratch, keys: WriteKeys, count: int, **changes: object) -> list[SealedRecord]:
    """Store records; return them in the order of their ids."""
    records = [sealed_record(keys, **changes) for _ in range(count)]
    with scratch.loader() as loader:
        loader.load(records, [], keys)
    return sorted(records, key=lambda record: record.record_id)


def usage(scratch: Scratch, role: str = "audit") -> dict[int, int]:
    """The number of values under each key."""
    with scratch.database(role) as database:
        return {used.key.key_id: used.rows for used in PostgresKeyStore(database).usage()}


def stored(scratch: Scratch, field: FieldName = IP) -> dict[uuid.UUID, bytes | None]:
    """The ciphertexts of a field."""
    rows = scratch.sql(f"SELECT record_id, {field}_ciphertext FROM user_logins")  # noqa: S608
    return {record_id: value and bytes(value) for record_id, value in rows}


@pytest.mark.parametrize("role", ["audit", "rotate", "re-encrypt"])
def test_usage_counts_the_values_under_each_key(
    scratch: Scratch, keys: WriteKeys, role: str
) -> None:
    """Data keys by value, in both tables; token keys by row of their generation; unused keys: 0."""
    load(scratch, keys, 3)
    with scratch.loader() as loader:
        loader.load([], [sealed_rejection(keys), sealed_rejection(keys)], keys)
    scratch.add_token_keys(2, "pending")
    scratch.sql(
        "UPDATE user_logins SET next_token_generation = 2"
        " WHERE record_id = (SELECT record_id FROM user_logins LIMIT 1)"
    )
    scratch.sql(
        "UPDATE user_logins SET device_id_ciphertext = NULL WHERE next_token_generation = 2"
    )
    spare = scratch.add_data_key(IP)
    generations = dict(
        scratch.sql("SELECT key_id, generation FROM data_keys WHERE purpose = 'token'")
    )
    ip, device_id, quarantine = (key.key_id for key in keys.data_keys)
    expected = {ip: 3, device_id: 2, quarantine: 2, spare.key_id: 0}
    expected |= {key_id: {1: 3, 2: 1}[generation] for key_id, generation in generations.items()}
    assert usage(scratch, role) == expected


@pytest.mark.parametrize("key_id", [1, 255, 256, 2**31 - 1, 2**31, 2**32 - 1])
def test_the_key_of_a_ciphertext_is_its_uint32(shared: Scratch, key_id: int) -> None:
    """Bytes 1 to 4, big-endian and unsigned, whatever follows."""
    value = ciphertext(key_id)
    assert shared.value("SELECT vault_etl.ciphertext_key_id(%s)", value) == key_id


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x01\x02\x03"])
def test_a_ciphertext_too_short_to_name_a_key_stops_no_count(
    shared: Scratch, damaged: bytes
) -> None:
    """A damaged ciphertext is counted under no real key, and raises no error."""
    assert shared.value("SELECT vault_etl.ciphertext_key_id(%s)", damaged) < 2**16


def rotation_of(scratch: Scratch, keys: WriteKeys) -> OpenRotation:
    """A rotation that replaces these keys."""
    old = frozenset(key.key_id for key in keys.data_keys)
    rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=FIELDS, old_keys=old)
    open_data_rotation(scratch.sql, rotation)
    return rotation


def test_pages_come_in_order_and_leave_no_value_out(scratch: Scratch, keys: WriteKeys) -> None:
    """Keyset pages of the values under old keys only, each value once, in the order of record ids."""
    records = load(scratch, keys, 25)
    others = load(scratch, scratch.write_keys(), 25)
    assert others
    seen: list[uuid.UUID] = []
    with scratch.database("re-encrypt") as database:
        reencrypter = PostgresReencrypter(database, DEFAULT)
        after, is_last = None, False
        while not is_last:
            page = reencrypter.page(rotation_of(scratch, keys), everything(after=after), 10)
            assert len(page.rows) <= 10
            seen += [row.record_id for row in page.rows]
            after, is_last = page.rows[-1].record_id, page.is_last
    assert seen == [record.record_id for record in records]


def test_quarantined_bodies_come_a_few_at_a_time(scratch: Scratch, keys: WriteKeys) -> None:
    """A page is 4 MiB at most: a body can be a megabyte, and a statement carries a gigabyte."""
    rejections = [sealed_rejection(keys, 2**18 + 1) for _ in range(20)]
    with scratch.loader() as loader:
        loader.load([], rejections, keys)
    key = scratch.add_data_key(QUARANTINE, role="re-encrypt")
    with scratch.database("re-encrypt") as database:
        reencrypter = PostgresReencrypter(database, DEFAULT)
        page = reencrypter.page(rotation_of(scratch, keys), everything(QUARANTINE_TABLE), 500)
        assert (len(page.rows), page.is_last) == (15, False)
        new = {QUARANTINE: ciphertext(key.key_id, 2**18 + 1)}
        batch = [Replacement(row, new) for row in page.rows]
        assert reencrypter.replace(batch, [key], outside(QUARANTINE_TABLE)) == Swap(15, 15)
    assert usage(scratch)[keys.data_keys[2].key_id] == 5


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_swap_changes_its_field_alone(
    scratch: Scratch, keys: WriteKeys, field: FieldName
) -> None:
    """The new bytes replace the old bytes; every other column is as it was."""
    records = load(scratch, keys, 5)
    rest = f"SELECT to_jsonb(r) - '{field}_ciphertext' FROM user_logins AS r ORDER BY record_id"  # noqa: S608
    before = scratch.sql(rest)
    key = scratch.add_data_key(field, role="re-encrypt")
    batch = swaps(records, key)
    assert replaced(scratch, batch, key) == Swap(5, 5)
    assert stored(scratch, field) == {swap.row.record_id: swap.ciphertexts[field] for swap in batch}
    assert scratch.sql(rest) == before


def test_a_value_that_changed_meanwhile_is_left_alone(scratch: Scratch, keys: WriteKeys) -> None:
    """Compare-and-swap: a value that differs from the read bytes by one bit is not overwritten."""
    changed, same = load(scratch, keys, 2)
    newer = ciphertext(keys.data_keys[0].key_id)
    scratch.sql(
        "UPDATE user_logins SET ip_ciphertext = %s WHERE record_id = %s", newer, changed.record_id
    )
    key = scratch.add_data_key(IP, role="re-encrypt")
    batch = swaps([changed, same], key)
    assert replaced(scratch, batch, key) == Swap(1, 1)
    swapped = batch[1].ciphertexts[IP]
    assert stored(scratch) == {changed.record_id: newer, same.record_id: swapped}


def test_an_erased_value_stays_erased(scratch: Scratch, keys: WriteKeys) -> None:
    """A NULL written between the read and the swap wins."""
    erased, same = load(scratch, keys, 2)
    scratch.sql(
        "UPDATE user_logins SET ip_ciphertext = NULL WHERE record_id = %s", erased.record_id
    )
    key = scratch.add_data_key(IP, role="re-encrypt")
    assert replaced(scratch, swaps([erased, same], key), key) == Swap(1, 1)
    assert stored(scratch)[erased.record_id] is None


def test_an_erasure_in_progress_wins_too(scratch: Scratch, keys: WriteKeys) -> None:
    """The swap waits for the open erasure, reads the row again, and leaves the NULL."""
    (record,) = load(scratch, keys, 1)
    key = scratch.add_data_key(IP, role="re-encrypt")
    with scratch.connect() as erasing, erasing.cursor() as cursor:
        cursor.execute("UPDATE vault_etl.user_logins SET ip_ciphertext = NULL")
        timer = threading.Timer(0.3, erasing.commit)
        timer.start()
        assert replaced(scratch, swaps([record], key), key) == Swap(0, 0)
        timer.join()
    assert stored(scratch) == {record.record_id: None}


def test_a_deadlock_is_tried_again(scratch: Scratch, keys: WriteKeys) -> None:
    """When another writer locks the same rows in the opposite order, the swap succeeds in the end."""
    first, second = load(scratch, keys, 2)
    key = scratch.add_data_key(IP, role="re-encrypt")
    lock = "SELECT FROM vault_etl.user_logins WHERE record_id = %s FOR UPDATE"
    with scratch.connect() as other, other.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '30s'")  # so that it is not the victim
        cursor.execute(lock, (second.record_id,))
        results: list[Swap | None] = []
        swapping = threading.Thread(
            target=lambda: results.append(replaced(scratch, swaps([first, second], key), key))
        )
        swapping.start()
        time.sleep(0.3)
        cursor.execute(lock, (first.record_id,))
        other.commit()
        swapping.join()
    assert results == [Swap(2, 2)]
