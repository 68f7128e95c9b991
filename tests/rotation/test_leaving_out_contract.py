"""Rows that are left out of a new generation of tokens: named by their keys, marked, and not read again."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, cut_over_request, writer
from tests.kit.scratch import ciphertext
from tests.kit.swaps import everything, outside
from tests.kit.token_rows import (
    NOTHING,
    ONE_TWO,
    Next,
    check,
    fill,
    leave_out,
    make,
    mapped,
    next_of,
    next_tokens,
    pending_behind,
    read,
    unequal,
)
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.erase.erase import RecordTarget
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.compare_tokens import Mapped, TokenComparison
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, NextTokens
from vault_etl.rotation.reencrypt import Replacement, SealedRow
from vault_etl.rotation.token_keys import CutOverDone

HOUR = dt.timedelta(hours=1)
LEFT_OUT: Next = ({}, 2)
TWO_THREE = Generations(2, 3)


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys; generation 2 is not pending yet."""
    return writer(bench)


@pytest.fixture
def other(process: Writer) -> Writer:
    """Another process, with keys of its own."""
    return Writer(
        process.bench,
        tuple(process.bench.data_key(f) for f in process.bench.declaration.data_fields),
    )


@pytest.fixture
def rows(process: Writer, other: Writer) -> list[SealedRecord]:
    """Six records, every second one of the other process, while generation 2 is pending."""
    made = [(process, other)[n % 2].record() for n in range(6)]
    process.load(*made[::2])
    other.load(*made[1::2])
    process.bench.token_rotations.begin(rotate_request(), process.bench.token_keys(2), 1)
    return made


def named(bench: Bench, what: LeaveOut, limit: int = 100) -> list[uuid.UUID]:
    """The ids of a page."""
    return [
        row.record_id
        for row in bench.backfill.named(what, everything(bench.event.name), limit).rows
    ]


def of(*rows: SealedRecord) -> list[uuid.UUID]:
    """The ids of these rows, in their order."""
    return sorted(row.record_id for row in rows)


def test_a_record_is_named_by_its_id(bench: Bench, rows: list[SealedRecord]) -> None:
    """The count includes its keys, one a value, of one login."""
    what = LeaveOut(record_id=rows[1].record_id)
    assert named(bench, what) == [rows[1].record_id]
    found = bench.named.count_named(what)
    assert (found.what, found.keys, len(found.logins), found.rows) == (
        what,
        len(bench.fields),
        1,
        1,
    )
    keys = [int.from_bytes(sealed[1:5], "big") for sealed in rows[1].ciphertexts.values()]
    assert found.kms_key_arns == tuple({key.kms_key_arn for key in bench.keys.keys(keys)})
    unknown = bench.named.count_named(LeaveOut(record_id=uuid.uuid4()))
    assert (unknown.keys, unknown.logins, unknown.rows) == (0, (), 0)


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
def test_rows_are_named_by_any_key(
    bench: Bench, other: Writer, rows: list[SealedRecord], field: FieldName
) -> None:
    """One field under the key is enough, because the others may have been re-encrypted."""
    key = next(key for key in other.keys if key.field == field)
    what = LeaveOut(key_id=key.key_id)
    bench.plant(rows[3].record_id, field, ciphertext(bench.new_key(field).key_id))
    assert named(bench, what) == of(rows[1], rows[5])
    found = bench.named.count_named(what)
    assert (found.keys, len(found.logins), found.rows) == (1, 1, 2)
    rest = LeaveOut(key_id=next(k for k in other.keys if k.field not in {field, QUARANTINE}).key_id)
    assert named(bench, rest) == of(*rows[1::2])


def test_rows_are_named_by_the_login_that_made_the_keys(
    bench: Bench, process: Writer, rows: list[SealedRecord]
) -> None:
    """Both processes use one login here; no other login made keys."""
    (login,) = {key.created_by for key in bench.keys.keys([k.key_id for k in process.keys])}
    what = LeaveOut(login=login)
    assert named(bench, what) == of(*rows)
    found = bench.named.count_named(what)
    assert (found.logins, found.rows) == ((login,), 6)
    assert found.keys >= 6
    assert named(bench, LeaveOut(login=f"{login}x")) == []


def test_rows_are_named_by_the_time_of_the_lease(bench: Bench, rows: list[SealedRecord]) -> None:
    """One common moment is enough: the keys here are leased for an hour from about now."""
    now = bench.now()
    inside: list[tuple[dt.datetime | None, dt.datetime | None]] = [
        (now - 2 * HOUR, None),
        (now + HOUR / 2, now + HOUR),
        (None, now + HOUR / 2),
        (now - HOUR, now + HOUR / 2),
    ]
    for since, until in inside:
        assert named(bench, LeaveOut(since=since, until=until)) == of(*rows)
    for since, until in [(now + 2 * HOUR, None), (None, now - HOUR), (now - 3 * HOUR, now - HOUR)]:
        assert named(bench, LeaveOut(since=since, until=until)) == []
        assert bench.named.count_named(LeaveOut(since=since, until=until)).rows == 0


def test_all_criteria_must_hold(
    bench: Bench, process: Writer, other: Writer, rows: list[SealedRecord]
) -> None:
    """A key of another time, or of another login, does not match."""
    key = next(key for key in other.keys if key.field == IP)
    (login,) = {stored.created_by for stored in bench.keys.keys([key.key_id])}
    now = bench.now()
    both = LeaveOut(key_id=key.key_id, login=login, since=now, until=now + HOUR / 2)
    assert named(bench, both) == of(*rows[1::2])
    assert named(bench, LeaveOut(key_id=key.key_id, login="unknown")) == []
    assert named(bench, LeaveOut(key_id=key.key_id, since=now + 3 * HOUR)) == []
    assert process.keys


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_named_rows_come_in_pages(
    bench: Bench, other: Writer, rows: list[SealedRecord], limit: int
) -> None:
    """Rows come in their order, done or not, until a page says that it is the last; erased rows are absent."""
    fill(bench, read(bench)[:3])
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[5].record_id))
    what = LeaveOut(key_id=other.keys[0].key_id)
    at, seen, is_last = everything(bench.event.name), list[uuid.UUID](), False
    while not is_last:
        page = bench.backfill.named(what, at, limit)
        seen += [row.record_id for row in page.rows]
        at, is_last = at.__class__(at.place, at.first, at.last, seen[-1]), page.is_last
    assert seen == of(rows[1], rows[3])


def test_a_row_that_is_left_out_is_marked(bench: Bench, rows: list[SealedRecord]) -> None:
    """The row loses its next tokens and keeps the others; it is read no more, and not counted."""
    fill(bench, read(bench)[:3])
    first, *_, last = sorted(rows, key=lambda row: row.record_id)
    assert leave_out(bench, first.record_id, last.record_id) == 2
    marks = next_tokens(bench)
    assert {i for i, made in marks.items() if made == LEFT_OUT} == set(of(first, last))
    names = {value.field.name: value.token for value in bench.event.personal}
    for row in rows:
        stored = bench.records()[row.record_id]
        assert {field: stored[name] for field, name in names.items()} == row.tokens
    assert [row.record_id for row in read(bench)] == of(*rows)[3:5]
    assert bench.comparer.count(ONE_TWO) == 2


def test_a_row_that_was_erased_since_it_was_read_is_not_marked(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """The erasure wins; a row that was re-encrypted meanwhile is read again too."""
    page = bench.backfill.named(LeaveOut(since=bench.now()), everything(bench.event.name), 100).rows
    erased, sealed, *others = page
    bench.eraser.erase(cut_over_request(), RecordTarget(erased.record_id))
    field = bench.other
    key = bench.new_key(field)
    row = SealedRow(
        sealed.place, sealed.record_id, sealed.user_id, {field: sealed.ciphertexts[field]}
    )
    assert bench.reencrypter.replace(
        [Replacement(row, {field: ciphertext(key.key_id)})], [key], outside(bench.event.name)
    )
    marks = [NextTokens(row, {}) for row in page]
    assert (
        bench.backfill.fill(marks, ONE_TWO, outside(bench.event.name))
        == len(others)
        == len(rows) - 2
    )
    after = next_tokens(bench)
    assert after[erased.record_id] == after[sealed.record_id] == NOTHING


def test_rows_left_out_are_not_checked(bench: Bench, process: Writer) -> None:
    """Such a row is neither missing nor unequal, and its tokens do not count; the number of such rows is reported."""
    rows = pending_behind(process, [process.record() for _ in range(4)])
    fill(bench)
    bench.change_token(rows[3].record_id, IP, next_of(rows[0].tokens[IP]), is_next=True)
    bench.change_token(rows[2].record_id, bench.other, None, is_next=True)
    assert not check(bench).holds
    assert leave_out(bench, rows[2].record_id, rows[3].record_id) == 2
    assert check(bench) == TokenComparison(fields=mapped(bench, 2), left_out=2)


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
def test_chance_draws_which_unequal_pairs_are_read(
    bench: Bench, process: Writer, field: FieldName
) -> None:
    """Honest pairs are drawn however rare they are: 120 real rows, each beside two planted rows with its token."""
    honest = [process.record() for _ in range(120)]
    planted = [process.record(tokens=dict(row.tokens)) for row in honest for _ in range(2)]
    pending_behind(process, [*honest, *planted])
    forged = {row.record_id for row in planted}
    made = []
    for row in read(bench, 1_000):
        tokens = dict(make(row).tokens)
        if row.record_id in forged:
            tokens[field] = uuid.uuid5(row.tokens[field], "forged")
        made.append(NextTokens(row, tokens))
    assert bench.backfill.fill(made, ONE_TWO, outside(bench.event.name)) == 360
    found = check(bench)
    assert found.missing == 0
    assert found.fields[field] == Mapped(120, 240, 240)
    assert unequal(found) & forged


def test_missing_rows_are_blamed_on_logins_and_keys(
    bench: Bench, process: Writer, other: Writer, rows: list[SealedRecord]
) -> None:
    """A row counts once for its login, and once for each of its keys."""
    kept = rows[0].record_id
    fill(bench, [row for row in read(bench) if row.record_id == kept])
    found = check(bench)
    assert found.missing == 5
    (login,) = {key.created_by for key in bench.keys.keys([k.key_id for k in process.keys])}
    by_login, *by_key = found.blamed
    assert (by_login.login, by_login.rows, by_login.key_id) == (login, 5, None)
    keys = {
        key.key_id: rows_
        for of_process, rows_ in ((process, 2), (other, 3))
        for key in of_process.keys
        if key.field in bench.fields
    }
    assert len(by_key) == 3
    width = len(bench.fields)
    assert [each.rows for each in by_key] == [*[3] * width, *[2] * width][:3]
    for each in by_key:
        assert each.key_id is not None
        assert (each.login, each.rows) == (login, keys[each.key_id])


def test_the_next_rotation_skips_rows_that_were_left_out(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """The row has no token to replace: it is not read, not missing, and still out after that cut-over."""
    fill(bench)
    out = rows[2].record_id
    assert leave_out(bench, out) == 1
    assert isinstance(bench.cut_over.cut_over(cut_over_request(), 2), CutOverDone)
    old = [u.key.key_id for u in bench.keys.usage() if u.key.generation == 1]
    for key_id in old:
        bench.destroy(key_id)
    for field in bench.fields:
        bench.change_token(out, field, None, is_next=True)
    bench.token_rotations.begin(rotate_request(), bench.token_keys(3), 1)
    at_two = bench.backfill.page(TWO_THREE, everything(bench.event.name), 100).rows
    assert out not in {row.record_id for row in at_two}
    assert len(at_two) == bench.comparer.count(TWO_THREE) == len(rows) - 1
    assert bench.backfill.fill(
        [make(row) for row in at_two], TWO_THREE, outside(bench.event.name)
    ) == len(at_two)
    found = bench.comparer.compare(TWO_THREE)
    assert found.holds
    assert (found.left_out, unequal(found)) == (0, set())
