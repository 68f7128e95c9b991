"""Reencrypter: a swap of the ciphertexts that were read, and of no other."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer
from tests.kit.swaps import outside
from tests.rotation.sealed_rows import loaded, new, old_rows, place_of, sealed
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.rotation.ranges import OpenRotation, Range, RotationStep, Swap
from vault_etl.rotation.reencrypt import Replacement, SealedRow


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that has loaded five records and three rejections."""
    return loaded(bench)


def stored(process: Writer) -> dict[uuid.UUID, Mapping[str, object]]:
    """All rows of both tables, their values by column or by place."""
    rejections = process.bench.rejections().items()
    bodies = {i: {str(place): value for place, value in enumerate(row)} for i, row in rejections}
    return {**process.bench.records(), **bodies}


@pytest.mark.parametrize("is_of_all", [False, True])
def test_a_swap_changes_the_ciphertexts_alone(
    process: Writer, field: FieldName, is_of_all: bool
) -> None:
    """The swap changes these rows and these fields, and counts them by row and by value."""
    place = place_of(process, field)
    fields = process.bench.fields if is_of_all and field != QUARANTINE else (field,)
    rows = old_rows(process, place=place)
    keys = [process.bench.new_key(field) for field in fields]
    batch = [new(row, keys, *fields) for row in rows[:2]]
    before = stored(process)
    swap = process.bench.reencrypter.replace(batch, keys, outside(place))
    assert swap == Swap(2, 2 * len(fields))
    expected = dict(before)
    for r in batch:
        fresh: Mapping[object, bytes] = {
            r.row.ciphertexts[f]: value for f, value in r.ciphertexts.items()
        }
        expected[r.row.record_id] = {
            name: fresh.get(value, value) if isinstance(value, bytes) else value
            for name, value in before[r.row.record_id].items()
        }
    assert stored(process) == expected
    assert expected != before


def test_a_value_that_changed_since_it_was_read_is_not_swapped(
    process: Writer, place: EventName
) -> None:
    """An erasure in between wins, and so does another rotation; only the other values count."""
    reencrypter = process.bench.reencrypter
    field = QUARANTINE if place == QUARANTINE_TABLE else IP
    erased, moved, same = old_rows(process, field, place=place)[:3]
    keys = [process.bench.new_key(field)]
    process.bench.erase(erased.record_id, field)
    theirs = new(moved, keys)
    assert reencrypter.replace([theirs], keys, outside(place)) == Swap(1, 1)
    ours = [new(row, keys) for row in (erased, moved, same)]
    assert reencrypter.replace(ours, keys, outside(place)) == Swap(1, 1)
    found = [sealed(process)[row.record_id, field] for row in (erased, moved, same)]
    assert found == [None, theirs.ciphertexts[field], ours[2].ciphertexts[field]]


def test_a_row_is_swapped_as_a_whole(process: Writer) -> None:
    """If one of two values changed since, neither is swapped, and the row is read again."""
    reencrypter = process.bench.reencrypter
    row = old_rows(process)[0]
    keys = [process.bench.new_key(field) for field in process.bench.fields]
    process.bench.erase(row.record_id, process.bench.other)
    assert reencrypter.replace([new(row, keys)], keys, outside(process.bench.event.name)) == Swap(
        0, 0
    )
    assert sealed(process)[row.record_id, IP] == row.ciphertexts[IP]
    assert reencrypter.replace(
        [new(row, keys, IP)], keys, outside(process.bench.event.name)
    ) == Swap(1, 1)


def test_no_value_is_written_under_a_key_that_is_not_active(
    process: Writer, place: EventName
) -> None:
    """One of the keys was retired: the fence returns None, and every old byte stays."""
    rows = old_rows(process, place=place)
    fields = tuple(rows[0].ciphertexts)
    keys = [process.bench.new_key(field) for field in fields]
    process.bench.keys.retire_data_keys(rotate_request(), fields[-1:])
    before = sealed(process)
    batch = [new(row, keys) for row in rows]
    assert process.bench.reencrypter.replace(batch, keys, outside(place)) is None
    assert sealed(process) == before


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A rotation of which one worker has claimed the range of all records."""

    process: Writer
    rotation: OpenRotation
    claim: uuid.UUID
    range: Range
    rows: Sequence[SealedRow]
    keys: Sequence[DataKey]

    def replace(self, batch: Sequence[Replacement], *, is_done: bool = False) -> Swap | None:
        """Swap, and move the cursor behind the second row."""
        step = RotationStep(self.claim, self.range, self.rows[1].record_id, is_done)
        return self.process.bench.reencrypter.replace(batch, self.keys, step)

    def cursor(self) -> tuple[uuid.UUID | None, bool]:
        """The cursor of the range, and True if the range is done."""
        ((held, is_done),) = self.process.bench.ranges(self.rotation.rotation_id)
        return held.after, is_done


@pytest.fixture
def claimed(bench: Bench, process: Writer) -> Claimed:
    """A rotation of both personal fields, in one range."""
    rotation = bench.data_rotations.begin(rotate_request(), bench.fields, 1)
    claim = uuid.uuid4()
    held = bench.claims.claim(rotation.rotation_id, claim)
    assert held is not None
    rows = bench.reencrypter.page(rotation, held, 100).rows
    keys = [bench.new_key(field) for field in bench.fields]
    return Claimed(process, rotation, claim, held, rows, keys)


@pytest.mark.parametrize("is_done", [False, True])
def test_the_cursor_moves_with_the_swap(claimed: Claimed, is_done: bool) -> None:
    """After a whole page the cursor is where the step says, and the range is done if the step says so."""
    assert claimed.cursor() == (None, False)
    assert claimed.replace(
        [new(r, claimed.keys) for r in claimed.rows[:2]], is_done=is_done
    ) == Swap(2, 2 * len(claimed.keys))
    assert claimed.cursor() == (claimed.rows[1].record_id, is_done)


def test_a_page_without_a_value_that_opens_moves_the_cursor_too(claimed: Claimed) -> None:
    """The page has no value to swap, and no reason to be read again."""
    assert claimed.replace([]) == Swap(0, 0)
    assert claimed.cursor() == (claimed.rows[1].record_id, False)


def test_a_step_without_a_row_keeps_the_cursor(claimed: Claimed) -> None:
    """An empty last page ends the range and keeps its cursor."""
    claimed.replace([])
    step = RotationStep(claimed.claim, claimed.range, None, is_done=True)
    assert claimed.process.bench.reencrypter.replace([], [], step) == Swap(0, 0)
    assert claimed.cursor() == (claimed.rows[1].record_id, True)


def test_a_page_that_was_swapped_in_part_does_not_move_the_cursor(claimed: Claimed) -> None:
    """A row that changed since it was read is read again."""
    claimed.process.bench.erase(claimed.rows[0].record_id, IP)
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) == Swap(
        1, len(claimed.keys)
    )
    assert claimed.cursor() == (None, False)


def test_a_page_that_the_fence_refuses_does_not_move_the_cursor(claimed: Claimed) -> None:
    """The result is None: neither rows nor cursor are written."""
    claimed.process.bench.keys.retire_data_keys(rotate_request(), [IP])
    before = sealed(claimed.process)
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) is None
    assert claimed.cursor() == (None, False)
    assert sealed(claimed.process) == before


def test_a_worker_that_has_lost_a_range_does_not_move_its_cursor(claimed: Claimed) -> None:
    """Another worker has claimed the range since: swapped values stay, and the cursor belongs to the other."""
    bench = claimed.process.bench
    bench.claims.free(claimed.claim)
    other = uuid.uuid4()
    assert bench.claims.claim(claimed.rotation.rotation_id, other) == claimed.range
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) == Swap(
        2, 2 * len(claimed.keys)
    )
    assert claimed.cursor() == (None, False)


def test_a_page_renews_the_claim(claimed: Claimed) -> None:
    """A whole or a partial page renews the claim: a worker that makes progress keeps its range."""
    bench, other = claimed.process.bench, uuid.uuid4()
    bench.erase(claimed.rows[0].record_id, IP)
    for batch in ([], [new(claimed.rows[0], claimed.keys)]):
        bench.pass_lease(8)
        claimed.replace(batch)
        bench.pass_lease(8)
        assert bench.claims.claim(claimed.rotation.rotation_id, other) is None
