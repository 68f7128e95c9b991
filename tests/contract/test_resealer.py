"""Resealer: pages in order, and a swap only of what was read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from tests.contract.bench import Bench
from tests.contract.rows import Writer, writer
from vault_etl.core.fields import Field
from vault_etl.core.keys import DataKey
from vault_etl.ports.record_store import Replacement, SealedValue


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that has loaded five records and three rejections."""
    made = writer(bench)
    made.load(*(made.record() for _ in range(5)), *(made.rejection() for _ in range(3)))
    return made


def key_of(process: Writer, field: Field) -> DataKey:
    """The process's key of this field."""
    return next(key for key in process.keys if key.field is field)


def sealed(process: Writer, field: Field, limit: int = 100) -> Sequence[SealedValue]:
    """The values under the process's key."""
    key_id = key_of(process, field).key_id
    return process.bench.resealer.sealed_under([key_id], field, None, limit)


@pytest.mark.parametrize(
    ("field", "count"), [(Field.IP, 5), (Field.DEVICE_ID, 5), (Field.QUARANTINE, 3)]
)
def test_the_values_under_a_key_are_read_in_the_order_of_their_rows(
    process: Writer, field: Field, count: int
) -> None:
    """Each with its row, its person and its bytes."""
    values = sealed(process, field)
    assert len(values) == count
    assert [v.record_id for v in values] == sorted(v.record_id for v in values)
    assert {v.field for v in values} == {field}
    assert {v.user_id for v in values} == {"" if field is Field.QUARANTINE else "user-1"}
    assert {v.ciphertext[1:5] for v in values} == {key_of(process, field).key_id.to_bytes(4, "big")}


@pytest.mark.parametrize("field", Field)
def test_pages_follow_each_other(process: Writer, field: Field) -> None:
    """Two at a time, each after the last of the page before; then an empty one."""
    key_id = key_of(process, field).key_id
    pages: list[list[SealedValue]] = [[]]
    after: uuid.UUID | None = None
    while page := list(process.bench.resealer.sealed_under([key_id], field, after, 2)):
        assert len(page) <= 2
        pages.append(page)
        after = page[-1].record_id
    assert [v for page in pages for v in page] == list(sealed(process, field))


def test_values_under_other_keys_are_left_out(process: Writer) -> None:
    """Another process's, another field's, and those of no key at all."""
    other = writer(process.bench)
    other.load(other.record())
    assert len(sealed(process, Field.IP)) == 5
    device = key_of(process, Field.DEVICE_ID).key_id
    resealer = process.bench.resealer
    assert list(resealer.sealed_under([device], Field.IP, None, 100)) == []
    assert list(resealer.sealed_under([], Field.IP, None, 100)) == []
    both = [key_of(process, Field.IP).key_id, key_of(other, Field.IP).key_id]
    assert len(resealer.sealed_under(both, Field.IP, None, 100)) == 6


def test_values_that_were_erased_are_left_out(process: Writer) -> None:
    """There is nothing to seal anew."""
    first = sealed(process, Field.IP)[0]
    process.bench.erase(first.record_id, Field.IP)
    assert first not in sealed(process, Field.IP)
    assert len(sealed(process, Field.IP)) == 4


@pytest.mark.parametrize("field", Field)
def test_a_swap_changes_the_ciphertext_and_nothing_else(process: Writer, field: Field) -> None:
    """Of these rows alone."""
    values = sealed(process, field)
    key = process.bench.data_key(field)
    swaps = [Replacement(v, b"new " + v.record_id.bytes) for v in values[:2]]
    before = {**process.bench.records(), **process.bench.rejections()}
    assert process.bench.resealer.replace(swaps, key) == 2
    expected = dict(before)
    for swap in swaps:
        expected[swap.value.record_id] = tuple(
            swap.ciphertext if column == swap.value.ciphertext else column
            for column in before[swap.value.record_id]
        )
    assert {**process.bench.records(), **process.bench.rejections()} == expected
    assert expected != before


def test_what_changed_since_it_was_read_is_not_swapped(process: Writer) -> None:
    """An erase in between wins, and so does another rotation; only the others count."""
    erased, moved, same = sealed(process, Field.IP)[:3]
    key = process.bench.data_key(Field.IP)
    process.bench.erase(erased.record_id, Field.IP)
    assert process.bench.resealer.replace([Replacement(moved, b"theirs")], key) == 1
    ours = [Replacement(value, b"ours") for value in (erased, moved, same)]
    assert process.bench.resealer.replace(ours, key) == 1
    # The ip's ciphertext is the seventh column after the record id.
    found = [process.bench.records()[v.record_id][6] for v in (erased, moved, same)]
    assert found == [None, b"theirs", b"ours"]


def test_nothing_is_written_under_a_key_that_is_not_active(process: Writer) -> None:
    """The fence says so: None, and the old bytes stay."""
    value = sealed(process, Field.IP)[0]
    key = process.bench.data_key(Field.IP)
    process.bench.keys.retire_data_keys([Field.IP])
    assert process.bench.resealer.replace([Replacement(value, b"new")], key) is None
    assert value in sealed(process, Field.IP)
