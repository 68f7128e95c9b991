"""Resealer: pages in order, and a swap only of what was read."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence

import pytest

from tests.kit.bench import Bench
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, writer
from tests.kit.scratch import ciphertext
from tests.kit.swaps import everything, outside
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, Table
from vault_etl.crypto.keys import DataKey
from vault_etl.rotation.ranges import OpenRotation, Range, RotationStep, Swap
from vault_etl.rotation.reencrypt import Remaining, Replacement, SealedRow

PLACE = {
    Field.IP: Table.USER_LOGINS,
    Field.DEVICE_ID: Table.USER_LOGINS,
    Field.QUARANTINE: Table.QUARANTINE,
}


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that has loaded five records and three rejections."""
    made = writer(bench)
    made.load(*(made.record() for _ in range(5)), *(made.rejection() for _ in range(3)))
    return made


def key_of(process: Writer, field: Field) -> DataKey:
    """The process's key of this field."""
    return next(key for key in process.keys if key.field is field)


def of_keys(
    process: Writer, *keys: DataKey, fields: Sequence[Field] = tuple(Field)
) -> OpenRotation:
    """A rotation that takes the rows away from these keys, whatever their state."""
    old = frozenset(key.key_id for key in keys)
    rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=tuple(fields), old_keys=old)
    process.bench.open_rotation(rotation)
    return rotation


def old_rows(
    process: Writer, *fields: Field, place: Table = Table.USER_LOGINS
) -> Sequence[SealedRow]:
    """What is under the process's keys of these fields, or all."""
    rotation = of_keys(process, *process.keys, fields=fields or tuple(Field))
    page = process.bench.reencrypter.page(rotation, everything(place), 100)
    assert page.is_last
    return page.rows


def values(rows: Sequence[SealedRow]) -> set[tuple[uuid.UUID, Field]]:
    """Which values a page has."""
    return {(row.record_id, field) for row in rows for field in row.ciphertexts}


def new(row: SealedRow, keys: Sequence[DataKey], *fields: Field) -> Replacement:
    """Other bytes under these keys for these fields, or for all that were read."""
    ids = {key.field: key.key_id for key in keys}
    return Replacement(row, {f: ciphertext(ids[f]) for f in fields or row.ciphertexts})


def sealed(process: Writer) -> dict[tuple[uuid.UUID, Field], object]:
    """Every ciphertext that stands anywhere."""
    found: dict[tuple[uuid.UUID, Field], object] = {}
    for record_id, row in process.bench.records().items():
        found |= {(record_id, Field.IP): row[6], (record_id, Field.DEVICE_ID): row[7]}
    return found | {
        (record_id, Field.QUARANTINE): row[2]
        for record_id, row in process.bench.rejections().items()
    }


# --- page and left: what is old ---


@pytest.mark.parametrize(("place", "count"), [(Table.USER_LOGINS, 5), (Table.QUARANTINE, 3)])
def test_old_values_are_read_in_the_order_of_their_rows(
    process: Writer, place: Table, count: int
) -> None:
    """Each row once, with its person, and with all its old values."""
    rows = old_rows(process, place=place)
    assert [row.record_id for row in rows] == sorted({row.record_id for row in rows})
    assert len(rows) == count
    assert {row.place for row in rows} == {place}
    assert {row.user_id for row in rows} == {"" if place is Table.QUARANTINE else "user-1"}
    there = sealed(process)
    for row in rows:
        assert set(row.ciphertexts) == {f for f in Field if PLACE[f] is place}
        assert all(there[row.record_id, f] == sealed for f, sealed in row.ciphertexts.items())


@pytest.mark.parametrize("field", Field)
def test_only_the_fields_that_are_asked_for_are_read(process: Writer, field: Field) -> None:
    """The others of the same row stay out, in their own place and in the other one."""
    assert {f for _, f in values(old_rows(process, field, place=PLACE[field]))} == {field}
    (elsewhere,) = set(Table) - {PLACE[field]}
    assert old_rows(process, field, place=elsewhere) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("place", Table)
def test_pages_follow_each_other(process: Writer, place: Table, limit: int) -> None:
    """Each after the last row of the page before, until one says that it is the last."""
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
    """Both ends are in it, and what is done already is not."""
    ids = [row.record_id for row in old_rows(process)]
    rotation = of_keys(process, *process.keys)

    def read(first: int, last: int, after: int | None = None) -> list[uuid.UUID]:
        behind = None if after is None else ids[after]
        at = Range(Table.USER_LOGINS, ids[first], ids[last], behind)
        return [row.record_id for row in process.bench.reencrypter.page(rotation, at, 100).rows]

    assert read(1, 3) == ids[1:4]
    assert read(2, 2) == ids[2:3]
    assert read(1, 3, after=1) == ids[2:4]
    assert read(1, 3, after=3) == []


def test_values_under_keys_that_stay_are_left_out(process: Writer) -> None:
    """Another process's, active or retired since: a rotation takes rows away from its own keys alone."""
    other = writer(process.bench)
    other.load(other.record(), other.rejection())
    before = [old_rows(process, place=place) for place in Table]
    assert [len(rows) for rows in before] == [5, 3]
    process.bench.keys.retire_data_keys(rotate_request(), Field)
    assert [old_rows(process, place=place) for place in Table] == before


def test_a_row_shows_only_those_of_its_values_that_are_old(process: Writer) -> None:
    """One field under an old key and one under a new: the old one is read, and no more."""
    rotation = of_keys(process, key_of(process, Field.IP))
    page = process.bench.reencrypter.page(rotation, everything(), 100)
    assert {frozenset(row.ciphertexts) for row in page.rows} == {frozenset({Field.IP})}
    assert process.bench.reencrypter.remaining(rotation).values == 5


def unknown(process: Writer, field: Field) -> bytes:
    """No such key."""
    del process, field
    return ciphertext(7)


def destroyed(process: Writer, field: Field) -> bytes:
    """A key that was, of this field."""
    key = process.bench.data_key(field)
    process.bench.keys.retire_data_keys(rotate_request(), [field])
    process.bench.destroy(key.key_id)
    return ciphertext(key.key_id)


def of_another_field(process: Writer, field: Field) -> bytes:
    """A good key, of another field."""
    other = next(f for f in Field if f is not field)
    return ciphertext(key_of(process, other).key_id)


def a_token_key(process: Writer, field: Field) -> bytes:
    """A key of the same field, and of another purpose."""
    key = next((k for k in process.bench.keys.token_keys() if k.field is field), None)
    return ciphertext(key.key_id if key else 9)


@pytest.mark.parametrize("field", Field)
@pytest.mark.parametrize(
    "forged",
    [unknown, destroyed, of_another_field, a_token_key],
    ids=lambda f: f.__name__,
)
def test_what_no_key_opens_is_old_in_every_rotation_of_its_field(
    process: Writer, field: Field, forged: object
) -> None:
    """So that a rotation finds it and names it, even one that retires no key that it is under."""
    reencrypter, place = process.bench.reencrypter, PLACE[field]
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
        of_keys(process, fields=[f for f in Field if f is not field])
    ) == Remaining(0, ())


def test_values_that_were_erased_are_left_out(process: Writer) -> None:
    """There is nothing to seal anew."""
    rows, bodies = old_rows(process), old_rows(process, place=Table.QUARANTINE)
    process.bench.erase(rows[0].record_id, Field.IP)
    process.bench.erase(bodies[0].record_id, Field.QUARANTINE)
    assert values(old_rows(process)) == values(rows) - {(rows[0].record_id, Field.IP)}
    assert list(old_rows(process, place=Table.QUARANTINE)) == list(bodies[1:])


def test_what_is_left_is_counted_in_both_places_and_named(process: Writer) -> None:
    """Values are counted, records are named, ten at the most, those of user_logins first."""
    reencrypter, rotation = process.bench.reencrypter, of_keys(process, *process.keys)
    rows, bodies = old_rows(process), old_rows(process, place=Table.QUARANTINE)
    ids = [row.record_id for row in (*rows, *bodies)]
    assert reencrypter.remaining(rotation) == Remaining(2 * 5 + 3, tuple(ids))
    process.load(*(process.record() for _ in range(4)))
    left = reencrypter.remaining(rotation)
    assert left.values == 2 * 9 + 3
    assert left.record_ids == tuple(
        [row.record_id for row in old_rows(process)] + [bodies[0].record_id]
    )


# --- replace: compare-and-swap ---


@pytest.mark.parametrize("fields", [(f,) for f in Field] + [PERSONAL_FIELDS])
def test_a_swap_changes_the_ciphertexts_and_nothing_else(
    process: Writer, fields: tuple[Field, ...]
) -> None:
    """Of these rows and these fields alone, counted by row and by value."""
    place = PLACE[fields[0]]
    rows = old_rows(process, place=place)
    keys = [process.bench.new_key(field) for field in fields]
    batch = [new(row, keys, *fields) for row in rows[:2]]
    before = {**process.bench.records(), **process.bench.rejections()}
    swap = process.bench.reencrypter.replace(batch, keys, outside(place))
    assert swap == Swap(2, 2 * len(fields))
    expected = dict(before)
    for r in batch:
        fresh: Mapping[object, bytes] = {
            r.row.ciphertexts[f]: value for f, value in r.ciphertexts.items()
        }
        expected[r.row.record_id] = tuple(
            fresh.get(column, column) if isinstance(column, bytes) else column
            for column in before[r.row.record_id]
        )
    assert {**process.bench.records(), **process.bench.rejections()} == expected
    assert expected != before


@pytest.mark.parametrize("place", Table)
def test_what_changed_since_it_was_read_is_not_swapped(process: Writer, place: Table) -> None:
    """An erase in between wins, and so does another rotation; only the others count."""
    reencrypter = process.bench.reencrypter
    field = Field.QUARANTINE if place is Table.QUARANTINE else Field.IP
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
    """If one of two values changed since, neither is swapped: the row is to be read again."""
    reencrypter = process.bench.reencrypter
    row = old_rows(process)[0]
    keys = [process.bench.new_key(field) for field in PERSONAL_FIELDS]
    process.bench.erase(row.record_id, Field.DEVICE_ID)
    assert reencrypter.replace([new(row, keys)], keys, outside()) == Swap(0, 0)
    assert sealed(process)[row.record_id, Field.IP] == row.ciphertexts[Field.IP]
    assert reencrypter.replace([new(row, keys, Field.IP)], keys, outside()) == Swap(1, 1)


@pytest.mark.parametrize("place", Table)
def test_nothing_is_written_under_a_key_that_is_not_active(process: Writer, place: Table) -> None:
    """One of the keys was retired: the fence says None, and every old byte stays."""
    rows = old_rows(process, place=place)
    fields = tuple(rows[0].ciphertexts)
    keys = [process.bench.new_key(field) for field in fields]
    process.bench.keys.retire_data_keys(rotate_request(), fields[-1:])
    before = sealed(process)
    batch = [new(row, keys) for row in rows]
    assert process.bench.reencrypter.replace(batch, keys, outside(place)) is None
    assert sealed(process) == before


# --- replace: the cursor of a claimed range ---


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
        """Swap, and move on behind the second row."""
        step = RotationStep(self.claim, self.range, self.rows[1].record_id, is_done)
        return self.process.bench.reencrypter.replace(batch, self.keys, step)

    def cursor(self) -> tuple[uuid.UUID | None, bool]:
        """Where the range is, and whether it is done."""
        ((held, is_done),) = self.process.bench.ranges(self.rotation.rotation_id)
        return held.after, is_done


@pytest.fixture
def claimed(bench: Bench, process: Writer) -> Claimed:
    """A rotation of both personal fields, in one range."""
    rotation = bench.data_rotations.begin(rotate_request(), PERSONAL_FIELDS, 1)
    claim = uuid.uuid4()
    held = bench.claims.claim(rotation.rotation_id, claim)
    assert held is not None
    rows = bench.reencrypter.page(rotation, held, 100).rows
    keys = [bench.new_key(field) for field in PERSONAL_FIELDS]
    return Claimed(process, rotation, claim, held, rows, keys)


@pytest.mark.parametrize("is_done", [False, True])
def test_the_range_moves_on_with_the_swap(claimed: Claimed, is_done: bool) -> None:
    """A whole page: the cursor stands where the step says, and the range is done if that says so."""
    assert claimed.cursor() == (None, False)
    assert claimed.replace(
        [new(r, claimed.keys) for r in claimed.rows[:2]], is_done=is_done
    ) == Swap(2, 4)
    assert claimed.cursor() == (claimed.rows[1].record_id, is_done)


def test_a_page_of_which_nothing_opened_moves_the_range_too(claimed: Claimed) -> None:
    """There is nothing to swap, and nothing to come back for."""
    assert claimed.replace([]) == Swap(0, 0)
    assert claimed.cursor() == (claimed.rows[1].record_id, False)


def test_a_step_without_a_row_keeps_the_cursor(claimed: Claimed) -> None:
    """A last page that is empty ends the range, and forgets nothing."""
    claimed.replace([])
    step = RotationStep(claimed.claim, claimed.range, None, is_done=True)
    assert claimed.process.bench.reencrypter.replace([], [], step) == Swap(0, 0)
    assert claimed.cursor() == (claimed.rows[1].record_id, True)


def test_a_page_that_was_swapped_in_part_does_not_move_the_range(claimed: Claimed) -> None:
    """What somebody changed since it was read is to be read again."""
    claimed.process.bench.erase(claimed.rows[0].record_id, Field.IP)
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) == Swap(
        1, 2
    )
    assert claimed.cursor() == (None, False)


def test_a_page_that_the_fence_refuses_does_not_move_the_range(claimed: Claimed) -> None:
    """None: neither rows nor cursor are written."""
    claimed.process.bench.keys.retire_data_keys(rotate_request(), [Field.IP])
    before = sealed(claimed.process)
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) is None
    assert claimed.cursor() == (None, False)
    assert sealed(claimed.process) == before


def test_who_has_lost_a_range_does_not_move_it(claimed: Claimed) -> None:
    """Another worker has claimed it since: what is swapped stays, and the cursor is the other's."""
    bench = claimed.process.bench
    bench.claims.free(claimed.claim)
    other = uuid.uuid4()
    assert bench.claims.claim(claimed.rotation.rotation_id, other) == claimed.range
    assert claimed.replace([new(r, claimed.keys) for r in claimed.rows[:2]], is_done=True) == Swap(
        2, 4
    )
    assert claimed.cursor() == (None, False)


def test_a_page_renews_the_claim(claimed: Claimed) -> None:
    """Whole or not: whoever works on a range keeps it."""
    bench, other = claimed.process.bench, uuid.uuid4()
    bench.erase(claimed.rows[0].record_id, Field.IP)
    for batch in ([], [new(claimed.rows[0], claimed.keys)]):
        bench.pass_lease(8)
        claimed.replace(batch)
        bench.pass_lease(8)
        assert bench.claims.claim(claimed.rotation.rotation_id, other) is None
