"""A new generation of tokens is checked in one snapshot: one to one with the old one, and complete."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.rows import Writer, cut_over_request, writer
from tests.kit.token_rows import (
    ONE_TWO,
    check,
    fill,
    mapped,
    next_of,
    pending_behind,
    read,
    shared,
    unequal,
)
from vault_etl.crypto.fields import FieldName
from vault_etl.erase.erase import RecordTarget
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.compare_tokens import TokenComparison
from vault_etl.rotation.next_tokens import Generations, TokenRow


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys; generation 2 is not pending yet."""
    return writer(bench)


@pytest.fixture
def rows(process: Writer) -> list[SealedRecord]:
    """Six records of generation 1, in their order, while generation 2 is pending."""
    return pending_behind(process, [process.record() for _ in range(6)])


def test_tokens_that_map_one_to_one_pass_the_check(bench: Bench, process: Writer) -> None:
    """Each field has as many old tokens as new tokens and as pairs; no row is missing."""
    shared(process)
    fill(bench)
    found = check(bench)
    assert found == TokenComparison(fields=mapped(bench, 4, {IP: 3, bench.other: 2}))
    assert found.holds


def test_an_empty_table_passes_the_check(bench: Bench, process: Writer) -> None:
    """An empty table has no row that could be wrong."""
    pending_behind(process, [])
    assert check(bench) == TokenComparison(fields=mapped(bench, 0))


def test_rows_without_a_next_token_are_missing(bench: Bench, rows: list[SealedRecord]) -> None:
    """Such rows are counted and named."""
    fill(bench, read(bench)[2:])
    found = check(bench)
    assert not found.holds
    assert (found.missing, found.missing_ids) == (2, tuple(r.record_id for r in rows[:2]))


def test_ten_records_are_named(bench: Bench, process: Writer) -> None:
    """Ten missing records are named, and all are counted."""
    rows = pending_behind(process, [process.record() for _ in range(12)])
    found = check(bench)
    assert (found.missing, found.missing_ids) == (12, tuple(r.record_id for r in rows[:10]))


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
@pytest.mark.parametrize("is_next", [False, True])
def test_a_null_beside_a_token_is_missing(
    bench: Bench, process: Writer, field: FieldName, is_next: bool
) -> None:
    """One token of a pair, old or new, lacks the other."""
    rows = shared(process)
    fill(bench)
    bench.change_token(rows[1].record_id, field, None, is_next=is_next)
    found = check(bench)
    assert (found.missing, found.missing_ids) == (1, (rows[1].record_id,))
    assert not found.holds
    assert found.fields[field].pairs > found.fields[field].old


def test_two_nulls_are_not_a_pair(bench: Bench, rows: list[SealedRecord]) -> None:
    """A field or a whole record that was erased, before the backfill or after it."""
    bench.erase(rows[0].record_id, IP)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[1].record_id))
    fill(bench)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[2].record_id))
    assert check(bench) == TokenComparison(fields=mapped(bench, 4, {IP: 3}))


def test_a_row_of_another_generation_is_missing(bench: Bench, rows: list[SealedRecord]) -> None:
    """Its tokens do not count, because they are not of these two generations."""
    fill(bench)
    for other in (Generations(1, 3), Generations(3, 2)):
        assert bench.comparer.compare(other).missing == len(rows)


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
def test_one_token_that_became_two_is_unequal(
    bench: Bench, process: Writer, field: FieldName
) -> None:
    """A duplicate would be missed: a row of each of the two pairs is read."""
    together = {IP: 2, bench.other: 3}[field]
    rows = shared(process)
    fill(bench)
    bench.change_token(rows[1].record_id, field, uuid.uuid4(), is_next=True)
    found = check(bench)
    assert not found.holds
    assert found.missing == 0
    pairs = found.fields[field]
    assert (pairs.new, pairs.pairs) == (pairs.old + 1, pairs.old + 1)
    same = [r.record_id for r in rows if r.tokens[field] == rows[1].tokens[field]]
    assert len(same) == together
    assert unequal(found) <= set(same)
    assert len(found.unequal) == 2
    assert rows[1].record_id in unequal(found)


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
def test_two_tokens_that_became_one_are_unequal(
    bench: Bench, process: Writer, field: FieldName
) -> None:
    """A planted token would make a false duplicate."""
    rows = shared(process)
    fill(bench)
    others = [r for r in rows if r.tokens[field] != rows[0].tokens[field]]
    planted = next_of(rows[0].tokens[field])
    bench.change_token(others[0].record_id, field, planted, is_next=True)
    found = check(bench)
    assert not found.holds
    pairs = found.fields[field]
    assert (pairs.new, pairs.pairs) == (pairs.old - 1, pairs.old)
    assert others[0].record_id in unequal(found)


def test_a_row_of_each_unequal_pair_is_read_as_it_is_stored(bench: Bench, process: Writer) -> None:
    """Twelve rows share a pair, two others have a pair each with the same old token: three rows."""
    other, token = bench.other, uuid.uuid4()
    rows = pending_behind(
        process, [process.record(tokens=process.tokens({other: token})) for _ in range(14)]
    )
    fill(bench)
    odd = {rows[7].record_id, rows[9].record_id}
    for record_id in odd:
        bench.change_token(record_id, other, uuid.uuid4(), is_next=True)
    found = check(bench)
    assert len(found.unequal) == 3
    assert odd < unequal(found)
    by_id = {row.record_id: row for row in rows}
    for row in found.unequal:
        stored = by_id[row.record_id]
        assert (row.user_id, row.generation) == (stored.subject, 1)
        assert (row.tokens, row.ciphertexts) == (dict(stored.tokens), dict(stored.ciphertexts))
        assert (row.next_tokens[other] == next_of(token)) is (row.record_id not in odd)


def test_a_token_that_is_wrong_in_all_fields_names_its_record_once(
    bench: Bench, process: Writer
) -> None:
    """The record is not named once per field."""
    rows = shared(process)
    fill(bench)
    for field in bench.fields:
        planted = next_of(rows[0].tokens[field])
        bench.change_token(rows[3].record_id, field, planted, is_next=True)
    found = check(bench)
    assert {rows[3].record_id} < unequal(found)


def test_a_sample_has_rows_with_both_tokens(bench: Bench, rows: list[SealedRecord]) -> None:
    """Each row comes once, as it is stored, and every row has tokens of both generations."""
    fill(bench, read(bench)[2:])
    by_id = {row.record_id: row for row in rows}
    found = bench.comparer.sample(ONE_TWO, 50)
    ids = [row.record_id for row in found]
    assert len(ids) == len(set(ids)) > 0
    assert set(ids) <= {row.record_id for row in rows[2:]}
    for row in found:
        stored = by_id[row.record_id]
        made = {f: next_of(token) for f, token in stored.tokens.items()}
        assert row == TokenRow(
            bench.event.name,
            row.record_id,
            stored.subject,
            1,
            dict(stored.tokens),
            dict(stored.ciphertexts),
            made,
        )


def test_a_sample_is_no_longer_than_asked_for(bench: Bench, rows: list[SealedRecord]) -> None:
    """A sample may be empty: no row with tokens of both generations may exist."""
    assert bench.comparer.sample(ONE_TWO, 3) == []
    fill(bench)
    assert len(rows) == 6
    assert 1 <= len(bench.comparer.sample(ONE_TWO, 3)) <= 3
    assert bench.comparer.sample(Generations(1, 3), 3) == []


def test_a_sample_of_an_empty_table_is_empty(bench: Bench, process: Writer) -> None:
    """An empty table has no row to draw."""
    pending_behind(process, [])
    assert bench.comparer.sample(ONE_TWO, 3) == []


def test_rows_without_a_token_of_the_pending_generation_are_counted(
    bench: Bench, rows: list[SealedRecord]
) -> None:
    """Before any generation is pending, the rows with a token count; an erased row does not count."""
    assert bench.comparer.count(None) == bench.comparer.count(ONE_TWO) == len(rows)
    fill(bench, read(bench)[:2])
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[5].record_id))
    assert (bench.comparer.count(None), bench.comparer.count(ONE_TWO)) == (5, 3)
    assert bench.comparer.count(Generations(1, 3)) == 5
