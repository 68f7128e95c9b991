"""A new generation of tokens: filled in beside the old one, checked in one snapshot, and cut over to."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping, Sequence

import pytest

from tests.contract.bench import Bench, token_keys
from tests.contract.rows import Writer, cut_over_request, writer
from tests.contract.test_record_loader import columns
from tests.fakes.vault import find_request, rotate_request
from tests.postgres.scratch import ciphertext
from tests.postgres.swaps import everything, outside
from vault_etl.core.audit import Action
from vault_etl.core.erasure import RecordTarget
from vault_etl.core.fields import PERSONAL_FIELDS, Field, KeyPurpose, Table
from vault_etl.core.keys import KeyState
from vault_etl.core.leave_out import LeaveOut
from vault_etl.core.messages import SealedRecord
from vault_etl.core.rotation import OpenRotation, Range, Step
from vault_etl.errors import IncompleteError
from vault_etl.ports.resealer import Replacement, SealedRow
from vault_etl.ports.tokens import (
    Check,
    Generations,
    Mapped,
    NextTokens,
    Swapped,
    TokenRow,
)

ONE_TWO = Generations(1, 2)
IP, DEVICE = Field.IP, Field.DEVICE_ID


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys; generation 2 is not pending yet."""
    return writer(bench)


@pytest.fixture
def rows(process: Writer) -> list[SealedRecord]:
    """Six records of generation 1, in their order, while generation 2 is pending."""
    return pending_behind(process, [process.record() for _ in range(6)])


def pending_behind(process: Writer, records: Sequence[SealedRecord]) -> list[SealedRecord]:
    """Store these, and begin a rotation of the token keys; in the order of their ids."""
    process.load(*records)
    process.bench.token_rotations.begin(rotate_request(), token_keys(2), 1)
    return sorted(records, key=lambda row: row.record_id)


def read(
    bench: Bench, limit: int = 100, at: Range | None = None, generations: Generations = ONE_TWO
) -> list[TokenRow]:
    """A page of the rows without a next token."""
    return list(bench.backfill.page(generations, at or everything(), limit).rows)


def make(row: TokenRow) -> NextTokens:
    """The next tokens of a row: one for each value, as a key would make them of equal ones."""
    return NextTokens(row, {f: next_of(token) for f, token in row.tokens.items()})


def next_of(token: uuid.UUID) -> uuid.UUID:
    """The token of the next generation, of the same value."""
    return uuid.uuid5(token, "next")


def fill(bench: Bench, rows: Sequence[TokenRow] | None = None, step: Step | None = None) -> int:
    """Give these rows their next tokens, or all that have none."""
    wanted = read(bench) if rows is None else rows
    filled = bench.backfill.fill([make(row) for row in wanted], ONE_TWO, step or outside())
    assert filled is not None
    return filled


def next_tokens(bench: Bench) -> Mapping[uuid.UUID, tuple[object, ...]]:
    """What stands in next_*: both tokens and the generation."""
    return {i: (row[4], row[5], row[9]) for i, row in bench.records().items()}


NOTHING = (None, None, None)


def leave_out(bench: Bench, *record_ids: uuid.UUID) -> int:
    """Leave these out of generation 2; how many rows were still what was read."""
    what = [LeaveOut(record_id=record_id) for record_id in record_ids]
    rows = [row for each in what for row in bench.backfill.named(each, everything(), 1).rows]
    filled = bench.backfill.fill([NextTokens(row, {}) for row in rows], ONE_TWO, outside())
    assert filled is not None
    return filled


# --- page ---


def test_rows_without_a_next_token_are_read_in_their_order(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """Each with its person, its tokens and its ciphertexts."""
    assert read(bench) == [
        TokenRow(row.record_id, row.user_id, 1, dict(row.tokens), dict(row.ciphertexts), {})
        for row in rows
    ]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
def test_pages_follow_each_other(bench: Bench, rows: list[SealedRecord], limit: int) -> None:
    """Each after the last row of the page before, until one says that it is the last."""
    at, seen, is_last = everything(), list[uuid.UUID](), False
    while not is_last:
        page = bench.backfill.page(ONE_TWO, at, limit)
        assert page.is_last is (len(page.rows) < limit)
        seen += [row.record_id for row in page.rows]
        at, is_last = dataclasses.replace(at, after=seen[-1]), page.is_last
    assert seen == [row.record_id for row in rows]


def test_a_page_keeps_to_its_range(bench: Bench, rows: list[SealedRecord]) -> None:
    """Both ends are in it, and what is done already is not."""
    ids = [row.record_id for row in rows]
    at = Range(Table.USER_LOGINS, ids[1], ids[4])
    assert [row.record_id for row in read(bench, at=at)] == ids[1:5]
    at = dataclasses.replace(at, after=ids[2])
    assert [row.record_id for row in read(bench, at=at)] == ids[3:5]


@pytest.mark.usefixtures("rows")
def test_what_has_its_next_token_is_not_read_again(bench: Bench, process: Writer) -> None:
    """From the backfill or from its loader."""
    fill(bench, read(bench)[:2])
    both = process.record(
        next_tokens={f: uuid.uuid4() for f in PERSONAL_FIELDS}, next_token_generation=2
    )
    bench.loader.load([both], [], process.write_keys(1, 2))
    assert len(read(bench)) == 4
    assert both.record_id not in {row.record_id for row in read(bench)}


def test_next_tokens_of_another_generation_are_none(bench: Bench, process: Writer) -> None:
    """What an aborted generation left is written over."""
    pending_behind(process, [process.record()])
    fill(bench)
    bench.token_rotations.abort(rotate_request())
    bench.token_rotations.begin(rotate_request(), token_keys(3), 1)
    (row,) = read(bench, generations=Generations(1, 3))
    assert row.next_tokens == {f: next_of(token) for f, token in row.tokens.items()}
    assert bench.backfill.fill([make(row)], Generations(1, 3), outside()) == 1
    assert read(bench, generations=Generations(1, 3)) == []


def test_rows_of_another_generation_are_not_read(bench: Bench, rows: list[SealedRecord]) -> None:
    """Their tokens are none that this rotation knows."""
    assert len(rows) == 6
    assert read(bench, generations=Generations(7, 2)) == []


def test_what_was_erased_has_no_next_token(bench: Bench, rows: list[SealedRecord]) -> None:
    """A row that was forgotten is not read; one that lost a field has the other's alone."""
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[0].record_id))
    bench.erase(rows[1].record_id, IP)
    found = read(bench)
    assert [row.record_id for row in found] == [row.record_id for row in rows[1:]]
    assert set(found[0].tokens) == set(found[0].ciphertexts) == {DEVICE}
    assert fill(bench) == 5
    token = next_of(rows[1].tokens[DEVICE])
    assert next_tokens(bench)[rows[0].record_id] == NOTHING
    assert next_tokens(bench)[rows[1].record_id] == (None, token, 2)


# --- fill ---


def test_a_fill_writes_next_tokens_and_nothing_else(bench: Bench, rows: list[SealedRecord]) -> None:
    """Of these rows alone."""
    assert fill(bench, read(bench)[:4]) == 4
    expected = {row.record_id: columns(row) for row in rows}
    for row in rows[:4]:
        made = {f: next_of(token) for f, token in row.tokens.items()}
        done = dataclasses.replace(row, next_tokens=made, next_token_generation=2)
        expected[row.record_id] = columns(done)
    assert bench.records() == expected


def erased_in_between(bench: Bench, row: TokenRow) -> None:
    """The whole record was forgotten."""
    bench.eraser.erase(cut_over_request(), RecordTarget(row.record_id))


def a_field_erased(bench: Bench, row: TokenRow) -> None:
    """One field was."""
    bench.erase(row.record_id, DEVICE)


def another_token(bench: Bench, row: TokenRow) -> None:
    """A token was changed, and its ciphertext was not."""
    bench.change_token(row.record_id, DEVICE, uuid.uuid4())


def sealed_anew(bench: Bench, row: TokenRow) -> None:
    """A ciphertext was changed, and its token was not."""
    sealed = SealedRow(
        Table.USER_LOGINS, row.record_id, row.user_id, {DEVICE: row.ciphertexts[DEVICE]}
    )
    key = bench.new_key(DEVICE)
    swap = Replacement(sealed, {DEVICE: ciphertext(key.key_id)})
    assert bench.resealer.replace([swap], [key], outside())


@pytest.mark.parametrize(
    "change",
    [erased_in_between, a_field_erased, another_token, sealed_anew],
    ids=lambda change: change.__name__,
)
@pytest.mark.usefixtures("rows")
def test_a_row_that_changed_since_it_was_read_gets_no_next_token(
    bench: Bench, change: Callable[[Bench, TokenRow], None]
) -> None:
    """Compare-and-swap on tokens and ciphertexts alike: an erase in between wins; the others are filled."""
    changed, *others = read(bench)
    change(bench, changed)
    assert fill(bench, [changed, *others]) == len(others)
    assert next_tokens(bench)[changed.record_id] == NOTHING
    assert NOTHING not in [next_tokens(bench)[row.record_id] for row in others]


@pytest.mark.usefixtures("rows")
def test_what_was_filled_may_be_filled_again(bench: Bench) -> None:
    """Two processes that read the same page agree."""
    page = read(bench)
    assert fill(bench, page) == fill(bench, page) == 6


def aborted(bench: Bench) -> None:
    """No generation is pending."""
    bench.token_rotations.abort(rotate_request())


def another_one_pending(bench: Bench) -> None:
    """A later generation is."""
    bench.token_rotations.abort(rotate_request())
    bench.token_rotations.begin(rotate_request(), token_keys(3), 1)


def cut_over_already(bench: Bench) -> None:
    """Somebody else was faster."""
    assert isinstance(bench.cut_over.cut_over(cut_over_request(), 2), Swapped)


@pytest.mark.parametrize(
    "change", [aborted, another_one_pending, cut_over_already], ids=lambda change: change.__name__
)
@pytest.mark.usefixtures("rows")
def test_the_fence_refuses_other_generations_than_those_of_now(
    bench: Bench, change: Callable[[Bench], None]
) -> None:
    """None, for rows and for no rows alike, and nothing is written."""
    page = read(bench)
    change(bench)
    before = bench.records()
    for batch in ([make(row) for row in page], []):
        assert bench.backfill.fill(batch, ONE_TWO, outside()) is None
    assert bench.records() == before


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A rotation of which one worker has claimed the range of all records."""

    bench: Bench
    rotation: OpenRotation
    claim: uuid.UUID
    range: Range

    def step(self, after: uuid.UUID | None, *, is_done: bool = False) -> Step:
        """A step of the claimed range."""
        return Step(self.claim, self.range, after, is_done)

    def cursor(self) -> tuple[uuid.UUID | None, bool]:
        """Where the range is, and whether it is done."""
        ((held, is_done),) = self.bench.ranges(self.rotation.rotation_id)
        return held.after, is_done


@pytest.fixture
def claimed(bench: Bench, rows: list[SealedRecord]) -> Claimed:
    """The rotation's one range."""
    assert rows
    rotation, claim = bench.rotations.open(KeyPurpose.TOKEN), uuid.uuid4()
    assert rotation is not None
    held = bench.claims.claim(rotation.rotation_id, claim)
    assert held is not None
    return Claimed(bench, rotation, claim, held)


@pytest.mark.parametrize("is_done", [False, True])
def test_the_range_moves_on_with_the_fill(claimed: Claimed, is_done: bool) -> None:
    """A whole page, or one of which no row opened."""
    page = read(claimed.bench)
    for batch, at, last in ((page[:2], 1, False), ([], 3, is_done)):
        after = page[at].record_id
        fill(claimed.bench, batch, claimed.step(after, is_done=last))
        assert claimed.cursor() == (after, last)


def test_a_page_that_was_filled_in_part_does_not_move_the_range(claimed: Claimed) -> None:
    """What somebody changed since it was read is to be read again."""
    page = read(claimed.bench)
    claimed.bench.erase(page[0].record_id, IP)
    step = claimed.step(page[1].record_id, is_done=True)
    assert fill(claimed.bench, page[:2], step) == 1
    assert claimed.cursor() == (None, False)


def test_a_fill_that_the_fence_refuses_does_not_move_the_range(claimed: Claimed) -> None:
    """None: the cursor is not written either."""
    page = read(claimed.bench)
    other = Generations(1, 9)
    step = claimed.step(page[1].record_id, is_done=True)
    assert claimed.bench.backfill.fill([make(page[0])], other, step) is None
    assert claimed.cursor() == (None, False)


def test_who_has_lost_a_range_does_not_move_it(claimed: Claimed) -> None:
    """Another worker has claimed it since."""
    bench = claimed.bench
    bench.claims.release(claimed.claim)
    assert bench.claims.claim(claimed.rotation.rotation_id, uuid.uuid4()) == claimed.range
    assert fill(bench, step=claimed.step(None, is_done=True)) == 6
    assert claimed.cursor() == (None, False)


# --- check ---


def shared(process: Writer) -> list[SealedRecord]:
    """Four records of which three share a device, and two an address; generation 2 is pending."""
    device, address = uuid.uuid4(), uuid.uuid4()
    made = [
        process.record(tokens={IP: address, DEVICE: device}),
        process.record(tokens={IP: address, DEVICE: device}),
        process.record(tokens={IP: uuid.uuid4(), DEVICE: device}),
        process.record(),
    ]
    pending_behind(process, made)
    return made


def check(bench: Bench) -> Check:
    """One look."""
    return bench.checker.check(ONE_TWO)


def unequal(found: Check) -> set[uuid.UUID]:
    """The records that it has a row of, each once."""
    ids = [row.record_id for row in found.unequal]
    assert len(ids) == len(set(ids))
    return set(ids)


def test_tokens_that_map_one_to_one_hold(bench: Bench, process: Writer) -> None:
    """As many old ones as new ones as pairs, in each field; nothing is missing."""
    shared(process)
    fill(bench)
    found = check(bench)
    assert found == Check(fields={IP: Mapped(3, 3, 3), DEVICE: Mapped(2, 2, 2)})
    assert found.holds


def test_an_empty_table_holds(bench: Bench, process: Writer) -> None:
    """There is nothing that could be wrong."""
    pending_behind(process, [])
    assert check(bench) == Check(fields={IP: Mapped(0, 0, 0), DEVICE: Mapped(0, 0, 0)})


def test_rows_without_a_next_token_are_missing(bench: Bench, rows: list[SealedRecord]) -> None:
    """Counted and named."""
    fill(bench, read(bench)[2:])
    found = check(bench)
    assert not found.holds
    assert (found.missing, found.missing_ids) == (2, tuple(r.record_id for r in rows[:2]))


def test_ten_records_are_named(bench: Bench, process: Writer) -> None:
    """Of those that are missing, and all are counted."""
    rows = pending_behind(process, [process.record() for _ in range(12)])
    found = check(bench)
    assert (found.missing, found.missing_ids) == (12, tuple(r.record_id for r in rows[:10]))


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
@pytest.mark.parametrize("is_next", [False, True])
def test_a_null_beside_a_token_is_missing(
    bench: Bench, process: Writer, field: Field, is_next: bool
) -> None:
    """One token of a pair without the other, be it the old one or the new one."""
    rows = shared(process)
    fill(bench)
    bench.change_token(rows[1].record_id, field, None, is_next=is_next)
    found = check(bench)
    assert (found.missing, found.missing_ids) == (1, (rows[1].record_id,))
    assert not found.holds
    assert found.fields[field].pairs > found.fields[field].old


def test_two_nulls_are_a_pair_of_nothing(bench: Bench, rows: list[SealedRecord]) -> None:
    """A field that was erased, and a record that was forgotten, before the backfill or after it."""
    bench.erase(rows[0].record_id, IP)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[1].record_id))
    fill(bench)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[2].record_id))
    assert check(bench) == Check(fields={IP: Mapped(3, 3, 3), DEVICE: Mapped(4, 4, 4)})


def test_a_row_of_another_generation_is_missing(bench: Bench, rows: list[SealedRecord]) -> None:
    """Whatever tokens it has: they are not of these two."""
    fill(bench)
    for other in (Generations(1, 3), Generations(3, 2)):
        assert bench.checker.check(other).missing == len(rows)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_one_token_that_became_two_is_unequal(bench: Bench, process: Writer, field: Field) -> None:
    """A duplicate would be missed: a row of each of the two pairs is read."""
    together = {IP: 2, DEVICE: 3}[field]
    rows = shared(process)
    fill(bench)
    bench.change_token(rows[1].record_id, field, uuid.uuid4(), is_next=True)
    found = check(bench)
    assert not found.holds
    assert found.missing == 0
    mapped = found.fields[field]
    assert (mapped.new, mapped.pairs) == (mapped.old + 1, mapped.old + 1)
    same = [r.record_id for r in rows if r.tokens[field] == rows[1].tokens[field]]
    assert len(same) == together
    assert unequal(found) <= set(same)
    assert len(found.unequal) == 2
    assert rows[1].record_id in unequal(found)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_two_tokens_that_became_one_are_unequal(
    bench: Bench, process: Writer, field: Field
) -> None:
    """A duplicate would be made up: a token that somebody planted."""
    rows = shared(process)
    fill(bench)
    others = [r for r in rows if r.tokens[field] != rows[0].tokens[field]]
    planted = next_of(rows[0].tokens[field])
    bench.change_token(others[0].record_id, field, planted, is_next=True)
    found = check(bench)
    assert not found.holds
    mapped = found.fields[field]
    assert (mapped.new, mapped.pairs) == (mapped.old - 1, mapped.old)
    assert others[0].record_id in unequal(found)


def test_a_row_of_each_unequal_pair_is_read_as_it_stands(bench: Bench, process: Writer) -> None:
    """Twelve rows share a pair, two others have one of their own with the same old token: three rows."""
    device = uuid.uuid4()
    rows = pending_behind(
        process, [process.record(tokens={IP: uuid.uuid4(), DEVICE: device}) for _ in range(14)]
    )
    fill(bench)
    odd = {rows[7].record_id, rows[9].record_id}
    for record_id in odd:
        bench.change_token(record_id, DEVICE, uuid.uuid4(), is_next=True)
    found = check(bench)
    assert len(found.unequal) == 3
    assert odd < unequal(found)
    by_id = {row.record_id: row for row in rows}
    for row in found.unequal:
        stored = by_id[row.record_id]
        assert (row.user_id, row.generation) == (stored.user_id, 1)
        assert (row.tokens, row.ciphertexts) == (dict(stored.tokens), dict(stored.ciphertexts))
        assert (row.next_tokens[DEVICE] == next_of(device)) is (row.record_id not in odd)


def test_a_token_that_is_wrong_in_both_fields_names_its_record_once(
    bench: Bench, process: Writer
) -> None:
    """Not once a field."""
    rows = shared(process)
    fill(bench)
    for field in PERSONAL_FIELDS:
        planted = next_of(rows[0].tokens[field])
        bench.change_token(rows[3].record_id, field, planted, is_next=True)
    found = check(bench)
    assert {rows[3].record_id} < unequal(found)


# --- sample and count ---


def test_a_sample_has_rows_with_both_tokens(bench: Bench, rows: list[SealedRecord]) -> None:
    """Each once, as it stands, and no row without a token of both generations."""
    fill(bench, read(bench)[2:])
    by_id = {row.record_id: row for row in rows}
    found = bench.checker.sample(ONE_TWO, 50)
    ids = [row.record_id for row in found]
    assert len(ids) == len(set(ids)) > 0
    assert set(ids) <= {row.record_id for row in rows[2:]}
    for row in found:
        stored = by_id[row.record_id]
        made = {f: next_of(token) for f, token in stored.tokens.items()}
        assert row == TokenRow(
            row.record_id, stored.user_id, 1, dict(stored.tokens), dict(stored.ciphertexts), made
        )


def test_a_sample_is_no_longer_than_asked_for(bench: Bench, rows: list[SealedRecord]) -> None:
    """And there may be none at all."""
    assert bench.checker.sample(ONE_TWO, 3) == []
    fill(bench)
    assert len(rows) == 6
    assert 1 <= len(bench.checker.sample(ONE_TWO, 3)) <= 3
    assert bench.checker.sample(Generations(1, 3), 3) == []


def test_a_sample_of_nothing_is_nothing(bench: Bench, process: Writer) -> None:
    """An empty table."""
    pending_behind(process, [])
    assert bench.checker.sample(ONE_TWO, 3) == []


def test_rows_without_a_token_of_the_pending_generation_are_counted(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """Those that have one at all, before any generation is pending; what was forgotten has none."""
    assert bench.checker.count(None) == bench.checker.count(ONE_TWO) == len(rows)
    fill(bench, read(bench)[:2])
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[5].record_id))
    assert (bench.checker.count(None), bench.checker.count(ONE_TWO)) == (5, 3)
    assert bench.checker.count(Generations(1, 3)) == 5


# --- cut_over ---


def test_a_cut_over_swaps_tokens_and_generations(bench: Bench, rows: list[SealedRecord]) -> None:
    """Of every row, erased and left out ones too; no other column changes."""
    bench.erase(rows[0].record_id, IP)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[1].record_id))
    fill(bench)
    leave_out(bench, rows[2].record_id)
    before = bench.records()
    assert isinstance(bench.cut_over.cut_over(cut_over_request(), 2), Swapped)
    assert bench.records() == {
        i: (*row[:2], *row[4:6], *row[2:4], *row[6:8], row[9], row[8], *row[10:])
        for i, row in before.items()
    }


def test_a_cut_over_changes_the_states(bench: Bench, rows: list[SealedRecord]) -> None:
    """Active, decrypt_only, and no rotation is under way; batches of the old generation are refused."""
    assert rows
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    states = {u.key.generation: u.key.state for u in bench.keys.usage() if u.key.generation}
    assert states == {1: KeyState.DECRYPT_ONLY, 2: KeyState.ACTIVE}
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    used = {u.key.generation: u.rows for u in bench.keys.usage() if u.key.generation}
    assert used == {1: 6, 2: 6}


def test_a_cut_over_is_on_the_record(bench: Bench, rows: list[SealedRecord]) -> None:
    """An intent and an outcome, and the head of the log is the outcome."""
    assert rows
    request = cut_over_request()
    swapped = bench.cut_over.cut_over(request, 2)
    assert isinstance(swapped, Swapped)
    assert swapped.held_ms > 0
    entries = [e for e in bench.reader.entries() if e.request_id == request.request_id]
    assert [(e.phase, e.decision) for e in entries] == [("intent", "allowed"), ("outcome", "done")]
    for entry in entries:
        assert (entry.action, entry.actor, entry.host) == (
            Action.KEYS_CUT_OVER,
            request.actor,
            request.host,
        )
        assert (entry.reason, set(entry.fields)) == (request.reason, {"ip", "device_id"})
    assert (swapped.head.seq, swapped.head.hash) == (entries[-1].seq, entries[-1].hash)


@pytest.mark.parametrize("generation", [1, 3])
def test_a_generation_that_is_not_pending_is_not_cut_over_to(
    bench: Bench, rows: list[SealedRecord], generation: int
) -> None:
    """The active one, or one that is not there: nothing changes, and nothing is on the record."""
    assert rows
    fill(bench)
    before = bench.records(), bench.keys.token_keys(), list(bench.reader.entries())
    with pytest.raises(IncompleteError):
        bench.cut_over.cut_over(cut_over_request(), generation)
    assert (bench.records(), bench.keys.token_keys(), list(bench.reader.entries())) == before
    assert bench.rotations.open(KeyPurpose.TOKEN) is not None


def test_a_cut_over_is_made_once(bench: Bench, rows: list[SealedRecord]) -> None:
    """Who comes second is told that the generation is not pending."""
    assert rows
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    before = bench.records()
    with pytest.raises(IncompleteError):
        bench.cut_over.cut_over(cut_over_request(), 2)
    assert bench.records() == before


def test_what_was_cut_over_can_be_forgotten(bench: Bench, rows: list[SealedRecord]) -> None:
    """Old tokens that are kept in next_* go too."""
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[0].record_id))
    assert set(bench.records()[rows[0].record_id][2:10]) == {None}


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_both_tokens_find_their_record_before_and_after(
    bench: Bench, rows: list[SealedRecord], field: Field
) -> None:
    """Somebody who still has the old token, too."""
    fill(bench)
    old = rows[0].tokens[field]
    for _ in range(2):
        for token in (old, next_of(old)):
            found = bench.finder.holding(bench.audit.intend(find_request(field)), [token], 10)
            assert [holder.record_id for holder in found.newest] == [rows[0].record_id]
        if bench.rotations.open(KeyPurpose.TOKEN) is not None:
            bench.cut_over.cut_over(cut_over_request(), 2)
