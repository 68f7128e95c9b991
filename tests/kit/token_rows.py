"""Rows with tokens of two generations, and what the tests of tokens do with them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer
from tests.kit.swaps import everything, outside
from vault_etl.crypto.fields import FieldName
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.compare_tokens import Mapped, TokenComparison
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, NextTokens, TokenRow
from vault_etl.rotation.ranges import Range, RotationStep

ONE_TWO = Generations(1, 2)
ALL_OTHERS: Mapping[FieldName, int] = {}


def pending_behind(process: Writer, records: Sequence[SealedRecord]) -> list[SealedRecord]:
    """Store these, and begin a rotation of the token keys; in the order of their ids."""
    process.load(*records)
    process.bench.token_rotations.begin(rotate_request(), process.bench.token_keys(2), 1)
    return sorted(records, key=lambda row: row.record_id)


def read(
    bench: Bench, limit: int = 100, at: Range | None = None, generations: Generations = ONE_TWO
) -> list[TokenRow]:
    """A page of the rows without a next token."""
    return list(bench.backfill.page(generations, at or everything(bench.event.name), limit).rows)


def make(row: TokenRow) -> NextTokens:
    """The next tokens of a row: one for each value, as a key would make them of equal ones."""
    return NextTokens(row, {f: next_of(token) for f, token in row.tokens.items()})


def next_of(token: uuid.UUID) -> uuid.UUID:
    """The token of the next generation, of the same value."""
    return uuid.uuid5(token, "next")


def fill(
    bench: Bench, rows: Sequence[TokenRow] | None = None, step: RotationStep | None = None
) -> int:
    """Give these rows their next tokens, or all that have none."""
    wanted = read(bench) if rows is None else rows
    filled = bench.backfill.fill(
        [make(row) for row in wanted], ONE_TWO, step or outside(bench.event.name)
    )
    assert filled is not None
    return filled


Next = tuple[Mapping[FieldName, object], object]


def next_tokens(bench: Bench) -> Mapping[uuid.UUID, Next]:
    """The next tokens of each record that has some, by their fields, and their generation."""
    names = {value.field.name: value.next_token for value in bench.event.personal}
    return {
        i: (
            {field: row[name] for field, name in names.items() if row[name] is not None},
            row["next_token_generation"],
        )
        for i, row in bench.records().items()
    }


NOTHING: Next = ({}, None)


def leave_out(bench: Bench, *record_ids: uuid.UUID) -> int:
    """Leave these out of generation 2; how many rows were still what was read."""
    what = [LeaveOut(record_id=record_id) for record_id in record_ids]
    rows = [
        row
        for each in what
        for row in bench.backfill.named(each, everything(bench.event.name), 1).rows
    ]
    filled = bench.backfill.fill(
        [NextTokens(row, {}) for row in rows], ONE_TWO, outside(bench.event.name)
    )
    assert filled is not None
    return filled


def shared(process: Writer) -> list[SealedRecord]:
    """Four records of which three share another value, and two an address; generation 2 is pending."""
    other = process.bench.other
    device, address = uuid.uuid4(), uuid.uuid4()
    made = [
        process.record(tokens=process.tokens({IP: address, other: device})),
        process.record(tokens=process.tokens({IP: address, other: device})),
        process.record(tokens=process.tokens({other: device})),
        process.record(),
    ]
    pending_behind(process, made)
    return made


def check(bench: Bench) -> TokenComparison:
    """Check the tokens once."""
    return bench.comparer.compare(ONE_TWO)


def unequal(found: TokenComparison) -> set[uuid.UUID]:
    """The records that it has a row of, each once."""
    ids = [row.record_id for row in found.unequal]
    assert len(ids) == len(set(ids))
    return set(ids)


def mapped(
    bench: Bench, others: int, counts: Mapping[FieldName, int] = ALL_OTHERS
) -> dict[FieldName, Mapped]:
    """As many old tokens, new tokens and pairs of each field: these, or `others`."""
    found = {field: counts.get(field, others) for field in bench.declaration.field_names}
    return {field: Mapped(count, count, count) for field, count in found.items()}
