"""Rotations of data keys: begun once, cut into ranges, and ended."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, writer
from tests.rotation.begun import begin_data, begin_tokens, scattered, states
from vault_etl.crypto.fields import QUARANTINE_TABLE, EventName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation.ranges import OpenRotation


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


@pytest.mark.parametrize("names", [["ip"], ["other"], ["quarantine"], ["ip", "other"], []])
def test_beginning_retires_the_active_keys_of_its_fields(
    bench: Bench, process: Writer, names: list[str]
) -> None:
    """The keys of every process, and of no other field; the rotation also replaces keys that were retired before."""
    every = bench.declaration.data_fields
    fields = tuple(bench.field(name) for name in names) or every
    earlier = [bench.data_key(field).key_id for field in every]
    bench.keys.retire_data_keys(rotate_request(*every), every)
    other = writer(bench)
    begun = begin_data(bench, *fields)
    ours = {key.key_id for key in other.keys if key.field in fields}
    assert begun.retired == tuple(sorted(ours))
    assert begun.fields == fields
    assert not begun.resumed
    of_fields = {k.key_id for k in (*process.keys, *other.keys) if k.field in fields}
    before = {key.key_id for key in bench.keys.keys(earlier) if key.field in fields}
    assert begun.old_keys == of_fields | before
    assert states(bench, begun.old_keys) == {KeyState.DECRYPT_ONLY}
    rest = [key.key_id for key in other.keys if key.field not in fields]
    assert states(bench, rest) <= {KeyState.ACTIVE}


def test_a_destroyed_key_is_not_an_old_key(bench: Bench, process: Writer) -> None:
    """No value under a destroyed key can be re-encrypted."""
    fields = bench.declaration.data_fields
    bench.keys.retire_data_keys(rotate_request(*fields), fields)
    bench.destroy(process.keys[0].key_id)
    old = {key.key_id for key in process.keys[1:]}
    assert begin_data(bench).old_keys == old


def test_another_beginning_continues_the_open_rotation(bench: Bench, process: Writer) -> None:
    """The second call retires no key, whatever its fields, and returns the values of the first."""
    process.load(process.record())
    begun = begin_data(bench, IP, slices=3)
    later = bench.data_key(IP)
    again = begin_data(bench, slices=7)
    assert again == dataclasses.replace(begun, retired=(), resumed=True)
    assert states(bench, [later.key_id]) == {KeyState.ACTIVE}
    assert {held.place for held, _ in bench.ranges(begun.rotation_id)} == {bench.event.name}


def test_an_open_rotation_is_visible_by_purpose(bench: Bench, process: Writer) -> None:
    """The rotation is visible from its beginning to its end, even to a role that may read no row."""
    del process
    assert bench.rotations.open(KeyPurpose.DATA) is None
    data, tokens = begin_data(bench, IP), begin_tokens(bench)
    for purpose, begun in ((KeyPurpose.DATA, data), (KeyPurpose.TOKEN, tokens)):
        seen = dataclasses.replace(begun, retired=(), resumed=True)
        assert bench.rotations.open(purpose) == seen
    bench.data_rotations.end(data.rotation_id)
    assert bench.rotations.open(KeyPurpose.DATA) is None
    assert bench.rotations.open(KeyPurpose.TOKEN) is not None


def test_an_end_ends_one_rotation(bench: Bench, process: Writer) -> None:
    """The end removes the ranges; a second end, or the end of an earlier rotation, has no effect."""
    process.load(process.record())
    first = begin_data(bench)
    for _ in range(2):
        bench.data_rotations.end(first.rotation_id)
    assert bench.ranges(first.rotation_id) == []
    second = begin_data(bench)
    assert (second.retired, second.resumed) == ((), False)
    bench.data_rotations.end(first.rotation_id)
    assert bench.rotations.open(KeyPurpose.DATA) is not None


def test_a_rotation_of_an_empty_vault_has_no_range(bench: Bench, process: Writer) -> None:
    """An empty vault has no rows to go through."""
    del process
    for begun in (begin_data(bench, slices=16), begin_tokens(bench, slices=16)):
        assert bench.ranges(begun.rotation_id) == []
        assert bench.claims.claim(begun.rotation_id, uuid.uuid4()) is None
        assert bench.claims.unfinished(begun.rotation_id).ranges == 0


@pytest.mark.parametrize("slices", [1, 2, 3, 16, 1000])
@pytest.mark.parametrize("begin", [begin_data, begin_tokens])
def test_ranges_have_every_row_exactly_once(
    bench: Bench, process: Writer, begin: Callable[..., OpenRotation], slices: int
) -> None:
    """For any number of ranges; no range has a row of another table, and no range is done or begun."""
    rows = scattered(process)
    begun = begin(bench, slices=slices)
    ranges = bench.ranges(begun.rotation_id)
    for place, ids in rows.items():
        there = [held for held, _ in ranges if held.place == place]
        wanted = 0 if begin is begin_tokens and place == QUARANTINE_TABLE else 1
        assert {sum(r.first <= i <= r.last for r in there) for i in ids} == {wanted}
    assert {(held.after, is_done) for held, is_done in ranges} == {(None, False)}


@pytest.mark.parametrize("names", [["ip"], ["quarantine"], []])
def test_a_rotation_has_ranges_of_the_tables_of_its_fields(
    bench: Bench, process: Writer, names: list[str]
) -> None:
    """No other table has a range."""
    places = {"ip": {bench.event.name}, "quarantine": {QUARANTINE_TABLE}}
    wanted = set[EventName]().union(*(places[name] for name in names or places))
    scattered(process)
    begun = begin_data(bench, *(bench.field(name) for name in names))
    assert {held.place for held, _ in bench.ranges(begun.rotation_id)} == wanted
