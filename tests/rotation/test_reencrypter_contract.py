"""Reencrypter: pages of old values in order, and a count of the values that are left."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, writer
from tests.kit.scratch import ciphertext
from tests.kit.swaps import everything
from tests.rotation.sealed_rows import key_of, loaded, of_keys, old_rows, place_of, sealed, values
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.rotation.ranges import Range
from vault_etl.rotation.reencrypt import Remaining, SealedRow


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that has loaded five records and three rejections."""
    return loaded(bench)


def test_old_values_are_read_in_the_order_of_their_rows(process: Writer, place: EventName) -> None:
    """Each row is read once, with its person, and with all its old values."""
    rows = old_rows(process, place=place)
    assert [row.record_id for row in rows] == sorted({row.record_id for row in rows})
    assert len(rows) == (3 if place == QUARANTINE_TABLE else 5)
    assert {row.place for row in rows} == {place}
    assert {row.user_id for row in rows} == {"" if place == QUARANTINE_TABLE else "user-1"}
    there, fields = sealed(process), process.bench.declaration.data_fields
    for row in rows:
        assert set(row.ciphertexts) == {f for f in fields if place_of(process, f) == place}
        assert all(there[row.record_id, f] == sealed for f, sealed in row.ciphertexts.items())


def test_only_the_fields_that_are_asked_for_are_read(process: Writer, field: FieldName) -> None:
    """The other fields of the row are absent, in either table."""
    assert {f for _, f in values(old_rows(process, field, place=place_of(process, field)))} == {
        field
    }
    (elsewhere,) = {process.bench.event.name, QUARANTINE_TABLE} - {place_of(process, field)}
    assert old_rows(process, field, place=elsewhere) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_follow_each_other(process: Writer, place: EventName, limit: int) -> None:
    """Each page starts after the last row of the page before, until one says that it is the last."""
    rotation, at = of_keys(process, *process.keys), everything(place)
    seen: list[SealedRow] = []
    while True:
        page = process.bench.reencrypter.page(rotation, at, limit)
        assert len(page.rows) <= limit
        assert page.is_last is (len(page.rows) < limit)
        seen += page.rows
        if page.is_last:
            break
        at = dataclasses.replace(at, after=page.rows[-1].record_id)
    assert seen == list(old_rows(process, place=place))


def test_a_page_keeps_to_its_range(process: Writer) -> None:
    """Both ends belong to the range; rows that are done do not."""
    ids = [row.record_id for row in old_rows(process)]
    rotation = of_keys(process, *process.keys)

    def read(first: int, last: int, after: int | None = None) -> list[uuid.UUID]:
        behind = None if after is None else ids[after]
        at = Range(process.bench.event.name, ids[first], ids[last], behind)
        return [row.record_id for row in process.bench.reencrypter.page(rotation, at, 100).rows]

    assert read(1, 3) == ids[1:4]
    assert read(2, 2) == ids[2:3]
    assert read(1, 3, after=1) == ids[2:4]
    assert read(1, 3, after=3) == []


def test_values_under_keys_that_stay_are_left_out(process: Writer) -> None:
    """A rotation replaces its own keys alone, not another process's, active or retired since."""
    other = writer(process.bench)
    other.load(other.record(), other.rejection())
    tables = (process.bench.event.name, QUARANTINE_TABLE)
    before = [old_rows(process, place=place) for place in tables]
    assert [len(rows) for rows in before] == [5, 3]
    process.bench.keys.retire_data_keys(rotate_request(), process.bench.declaration.data_fields)
    assert [old_rows(process, place=place) for place in tables] == before


def test_a_row_shows_only_its_old_values(process: Writer) -> None:
    """One field is under an old key and one under a new key: only the old value is read."""
    rotation = of_keys(process, key_of(process, IP))
    page = process.bench.reencrypter.page(rotation, everything(process.bench.event.name), 100)
    assert {frozenset(row.ciphertexts) for row in page.rows} == {frozenset({IP})}
    assert process.bench.reencrypter.remaining(rotation).values == 5


def unknown(process: Writer, field: FieldName) -> bytes:
    """A key that does not exist."""
    del process, field
    return ciphertext(7)


def destroyed(process: Writer, field: FieldName) -> bytes:
    """A destroyed key of this field."""
    key = process.bench.data_key(field)
    process.bench.keys.retire_data_keys(rotate_request(), [field])
    process.bench.destroy(key.key_id)
    return ciphertext(key.key_id)


def of_another_field(process: Writer, field: FieldName) -> bytes:
    """A good key of another field."""
    other = next(f for f in process.bench.declaration.data_fields if f != field)
    return ciphertext(key_of(process, other).key_id)


def a_token_key(process: Writer, field: FieldName) -> bytes:
    """A key of the same field, with another purpose."""
    key = next((k for k in process.bench.keys.token_keys() if k.field == field), None)
    return ciphertext(key.key_id if key else 9)


@pytest.mark.parametrize(
    "forged",
    [unknown, destroyed, of_another_field, a_token_key],
    ids=lambda f: f.__name__,
)
def test_a_value_that_no_key_opens_is_old_in_every_rotation_of_its_field(
    process: Writer, field: FieldName, forged: object
) -> None:
    """Each rotation therefore finds and names the value, even a rotation that retires no such key."""
    reencrypter, place = process.bench.reencrypter, place_of(process, field)
    row = old_rows(process, field, place=place)[1]
    bad = forged(process, field)  # type: ignore[operator]
    process.bench.plant(row.record_id, field, bad)
    rotation = of_keys(process, fields=[field])
    page = reencrypter.page(rotation, everything(place), 100)
    assert [(r.record_id, dict(r.ciphertexts)) for r in page.rows] == [
        (row.record_id, {field: bad})
    ]
    assert reencrypter.remaining(rotation) == Remaining(1, (row.record_id,))
    assert reencrypter.remaining(
        of_keys(process, fields=[f for f in process.bench.declaration.data_fields if f != field])
    ) == Remaining(0, ())


def test_values_that_were_erased_are_left_out(process: Writer) -> None:
    """An erased value cannot be re-encrypted."""
    rows, bodies = old_rows(process), old_rows(process, place=QUARANTINE_TABLE)
    process.bench.erase(rows[0].record_id, IP)
    process.bench.erase(bodies[0].record_id, QUARANTINE)
    assert values(old_rows(process)) == values(rows) - {(rows[0].record_id, IP)}
    assert list(old_rows(process, place=QUARANTINE_TABLE)) == list(bodies[1:])


def test_remaining_values_are_counted_in_both_tables_and_named(process: Writer) -> None:
    """Values are counted, and records are named, ten at the most, those of events first."""
    width = len(process.bench.fields)
    reencrypter, rotation = process.bench.reencrypter, of_keys(process, *process.keys)
    rows, bodies = old_rows(process), old_rows(process, place=QUARANTINE_TABLE)
    ids = [row.record_id for row in (*rows, *bodies)]
    assert reencrypter.remaining(rotation) == Remaining(width * 5 + 3, tuple(ids))
    process.load(*(process.record() for _ in range(4)))
    left = reencrypter.remaining(rotation)
    assert left.values == width * 9 + 3
    assert left.record_ids == tuple(
        [row.record_id for row in old_rows(process)] + [bodies[0].record_id]
    )
