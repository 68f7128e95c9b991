"""A new generation of tokens, filled in beside the old one, while rows and generations change."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, cut_over_request, writer
from tests.kit.scratch import ciphertext
from tests.kit.stored_rows import columns
from tests.kit.swaps import everything, outside
from tests.kit.token_rows import (
    NOTHING,
    ONE_TWO,
    fill,
    make,
    next_of,
    next_tokens,
    pending_behind,
    read,
)
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.erase.erase import RecordTarget
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.next_tokens import Generations, TokenRow
from vault_etl.rotation.ranges import OpenRotation, Range, RotationStep
from vault_etl.rotation.reencrypt import Replacement, SealedRow
from vault_etl.rotation.token_keys import CutOverDone


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys; generation 2 is not pending yet."""
    return writer(bench)


@pytest.fixture
def rows(process: Writer) -> list[SealedRecord]:
    """Six records of generation 1, in their order, while generation 2 is pending."""
    return pending_behind(process, [process.record() for _ in range(6)])


def test_rows_without_a_next_token_are_read_in_their_order(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """Each row has its person, its tokens and its ciphertexts."""
    assert read(bench) == [
        TokenRow(
            row.event, row.record_id, row.subject, 1, dict(row.tokens), dict(row.ciphertexts), {}
        )
        for row in rows
    ]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
def test_pages_follow_each_other(bench: Bench, rows: list[SealedRecord], limit: int) -> None:
    """Each page starts after the last row of the page before, until one says that it is the last."""
    at, seen, is_last = everything(bench.event.name), list[uuid.UUID](), False
    while not is_last:
        page = bench.backfill.page(ONE_TWO, at, limit)
        assert page.is_last is (len(page.rows) < limit)
        seen += [row.record_id for row in page.rows]
        at, is_last = dataclasses.replace(at, after=seen[-1]), page.is_last
    assert seen == [row.record_id for row in rows]


def test_a_page_keeps_to_its_range(bench: Bench, rows: list[SealedRecord]) -> None:
    """Both ends belong to the range; rows that are done do not."""
    ids = [row.record_id for row in rows]
    at = Range(bench.event.name, ids[1], ids[4])
    assert [row.record_id for row in read(bench, at=at)] == ids[1:5]
    at = dataclasses.replace(at, after=ids[2])
    assert [row.record_id for row in read(bench, at=at)] == ids[3:5]


@pytest.mark.usefixtures("rows")
def test_a_row_with_its_next_token_is_not_read_again(bench: Bench, process: Writer) -> None:
    """The backfill or the loader may have written the next token."""
    fill(bench, read(bench)[:2])
    both = process.record(next_tokens=process.tokens(), next_token_generation=2)
    bench.loader.load([both], [], process.write_keys(1, 2))
    assert len(read(bench)) == 4
    assert both.record_id not in {row.record_id for row in read(bench)}


def test_next_tokens_of_another_generation_do_not_count(bench: Bench, process: Writer) -> None:
    """Next tokens of an aborted generation are overwritten."""
    pending_behind(process, [process.record()])
    fill(bench)
    bench.token_rotations.abort(rotate_request())
    bench.token_rotations.begin(rotate_request(), bench.token_keys(3), 1)
    (row,) = read(bench, generations=Generations(1, 3))
    assert row.next_tokens == {f: next_of(token) for f, token in row.tokens.items()}
    assert bench.backfill.fill([make(row)], Generations(1, 3), outside(bench.event.name)) == 1
    assert read(bench, generations=Generations(1, 3)) == []


def test_rows_of_another_generation_are_not_read(bench: Bench, rows: list[SealedRecord]) -> None:
    """This rotation does not know their tokens."""
    assert len(rows) == 6
    assert read(bench, generations=Generations(7, 2)) == []


def test_an_erased_value_has_no_next_token(bench: Bench, rows: list[SealedRecord]) -> None:
    """An erased row is not read; a row with one erased field has a next token of the other field alone."""
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[0].record_id))
    bench.erase(rows[1].record_id, IP)
    found, left = read(bench), set(bench.fields) - {IP}
    assert [row.record_id for row in found] == [row.record_id for row in rows[1:]]
    assert set(found[0].tokens) == set(found[0].ciphertexts) == left
    assert fill(bench) == 5
    made = {field: next_of(token) for field, token in rows[1].tokens.items() if field != IP}
    assert next_tokens(bench)[rows[0].record_id] == NOTHING
    assert next_tokens(bench)[rows[1].record_id] == (made, 2)


def test_a_fill_writes_next_tokens_alone(bench: Bench, rows: list[SealedRecord]) -> None:
    """The fill changes these rows alone."""
    assert fill(bench, read(bench)[:4]) == 4
    expected = {row.record_id: columns(row, bench.declaration) for row in rows}
    for row in rows[:4]:
        made = {f: next_of(token) for f, token in row.tokens.items()}
        done = row._replace(next_tokens=made, next_token_generation=2)
        expected[row.record_id] = columns(done, bench.declaration)
    assert bench.records() == expected


def erased_in_between(bench: Bench, row: TokenRow) -> None:
    """The whole record is erased."""
    bench.eraser.erase(cut_over_request(), RecordTarget(row.record_id))


def a_field_erased(bench: Bench, row: TokenRow) -> None:
    """One field is erased."""
    bench.erase(row.record_id, bench.other)


def another_token(bench: Bench, row: TokenRow) -> None:
    """A token changes, and its ciphertext does not."""
    bench.change_token(row.record_id, bench.other, uuid.uuid4())


def reencrypted(bench: Bench, row: TokenRow) -> None:
    """A ciphertext changes, and its token does not."""
    field = bench.other
    sealed = SealedRow(row.place, row.record_id, row.user_id, {field: row.ciphertexts[field]})
    key = bench.new_key(field)
    swap = Replacement(sealed, {field: ciphertext(key.key_id)})
    assert bench.reencrypter.replace([swap], [key], outside(bench.event.name))


@pytest.mark.parametrize(
    "change",
    [erased_in_between, a_field_erased, another_token, reencrypted],
    ids=lambda change: change.__name__,
)
@pytest.mark.usefixtures("rows")
def test_a_row_that_changed_since_it_was_read_gets_no_next_token(
    bench: Bench, change: Callable[[Bench, TokenRow], None]
) -> None:
    """Compare-and-swap on tokens and ciphertexts: an erasure in between wins; the other rows are filled in."""
    changed, *others = read(bench)
    change(bench, changed)
    assert fill(bench, [changed, *others]) == len(others)
    assert next_tokens(bench)[changed.record_id] == NOTHING
    assert NOTHING not in [next_tokens(bench)[row.record_id] for row in others]


@pytest.mark.usefixtures("rows")
def test_a_filled_row_may_be_filled_again(bench: Bench) -> None:
    """Two processes that read the same page agree."""
    page = read(bench)
    assert fill(bench, page) == fill(bench, page) == 6


def aborted(bench: Bench) -> None:
    """No generation is pending."""
    bench.token_rotations.abort(rotate_request())


def another_one_pending(bench: Bench) -> None:
    """A later generation is."""
    bench.token_rotations.abort(rotate_request())
    bench.token_rotations.begin(rotate_request(), bench.token_keys(3), 1)


def cut_over_already(bench: Bench) -> None:
    """Another process was faster."""
    assert isinstance(bench.cut_over.cut_over(cut_over_request(), 2), CutOverDone)


@pytest.mark.parametrize(
    "change", [aborted, another_one_pending, cut_over_already], ids=lambda change: change.__name__
)
@pytest.mark.usefixtures("rows")
def test_the_fence_refuses_generations_that_are_not_current(
    bench: Bench, change: Callable[[Bench], None]
) -> None:
    """The result is None, with and without rows, and no row is written."""
    page = read(bench)
    change(bench)
    before = bench.records()
    for batch in ([make(row) for row in page], []):
        assert bench.backfill.fill(batch, ONE_TWO, outside(bench.event.name)) is None
    assert bench.records() == before


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A rotation of which one worker has claimed the range of all records."""

    bench: Bench
    rotation: OpenRotation
    claim: uuid.UUID
    range: Range

    def step(self, after: uuid.UUID | None, *, is_done: bool = False) -> RotationStep:
        """A step of the claimed range."""
        return RotationStep(self.claim, self.range, after, is_done)

    def cursor(self) -> tuple[uuid.UUID | None, bool]:
        """The cursor of the range, and True if the range is done."""
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
def test_the_cursor_moves_with_the_fill(claimed: Claimed, is_done: bool) -> None:
    """After a whole page, and after a page without a row that opens."""
    page = read(claimed.bench)
    for batch, at, last in ((page[:2], 1, False), ([], 3, is_done)):
        after = page[at].record_id
        fill(claimed.bench, batch, claimed.step(after, is_done=last))
        assert claimed.cursor() == (after, last)


def test_a_page_that_was_filled_in_part_does_not_move_the_cursor(claimed: Claimed) -> None:
    """A row that changed since it was read is read again."""
    page = read(claimed.bench)
    claimed.bench.erase(page[0].record_id, IP)
    step = claimed.step(page[1].record_id, is_done=True)
    assert fill(claimed.bench, page[:2], step) == 1
    assert claimed.cursor() == (None, False)


def test_a_fill_that_the_fence_refuses_does_not_move_the_cursor(claimed: Claimed) -> None:
    """The result is None, and the cursor is not written."""
    page = read(claimed.bench)
    other = Generations(1, 9)
    step = claimed.step(page[1].record_id, is_done=True)
    assert claimed.bench.backfill.fill([make(page[0])], other, step) is None
    assert claimed.cursor() == (None, False)


def test_a_worker_that_has_lost_a_range_does_not_move_its_cursor(claimed: Claimed) -> None:
    """Another worker has claimed the range since."""
    bench = claimed.bench
    bench.claims.free(claimed.claim)
    assert bench.claims.claim(claimed.rotation.rotation_id, uuid.uuid4()) == claimed.range
    assert fill(bench, step=claimed.step(None, is_done=True)) == 6
    assert claimed.cursor() == (None, False)
