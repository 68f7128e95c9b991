"""New rows go by COPY straight into the tables, behind the fence (ADR 61)."""

from __future__ import annotations

import functools
import io
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Final

import psycopg2.errors
import psycopg2.extensions

from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.model import Declaration, DeclaredEvent, PlainType
from vault_etl.declaration.sql import sql_blocks
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.platform.postgres_copy import BigInt, copy_columns
from vault_etl.records.messages import SealedRecord


def insert_records(
    cursor: psycopg2.extensions.cursor,
    records: Sequence[SealedRecord],
    declaration: Declaration,
    *,
    checks_first: bool,
) -> frozenset[uuid.UUID]:
    """Store the rows that are not stored yet, in the table of another event neither, and return their ids.

    The caller holds the fence. A message may be of another event when it comes again: after a change of the
    declaration, or from a file with another `--event`.

    A query finds the stored rows before the COPY: with `checks_first` of all messages, without it of those that were
    received before. A COPY that still meets a stored row is rolled back, and repeated without the stored rows.
    """
    sql = sql_blocks("records/insert.sql", declaration)
    stored = set[uuid.UUID]()
    # In the order of their ids, so that sessions with the same rows do not deadlock.
    ordered = sorted(records, key=lambda record: record.record_id.int)
    for event in declaration.events:
        rows = {r.record_id: r for r in ordered if r.event == event.name}
        for other in declaration.events:
            if other is not event:
                rows = _not_stored(cursor, sql, other, rows, list(rows))
        stored.update(_insert(cursor, sql, event, rows, checks_first=checks_first))
    return frozenset(stored)


def _insert(
    cursor: psycopg2.extensions.cursor,
    sql: Mapping[str, str],
    event: DeclaredEvent,
    rows: dict[uuid.UUID, SealedRecord],
    *,
    checks_first: bool,
) -> Mapping[uuid.UUID, SealedRecord]:
    """Return the rows that were stored."""
    again = [i for i, row in rows.items() if checks_first or row.receive_count > 1]
    rows = _not_stored(cursor, sql, event, rows, again)
    is_explained = True
    while rows:
        cursor.execute(sql["savepoint"])
        try:
            copied = copy_columns(columns_of(event, rows.values()))
            cursor.copy_expert(sql[f"copy_{event.name}"], io.BytesIO(copied))
        except psycopg2.errors.UniqueViolation:
            cursor.execute(sql["rollback_to_savepoint"])
            new = _not_stored(cursor, sql, event, rows, list(rows))
            if len(new) == len(rows) and not is_explained:
                raise  # another unique index refuses a row
            # Not explained once: the month is being detached, of which the next COPY tells.
            is_explained = len(new) < len(rows)
            rows = new
        else:
            break
    return rows


def _not_stored(
    cursor: psycopg2.extensions.cursor,
    sql: Mapping[str, str],
    event: DeclaredEvent,
    rows: dict[uuid.UUID, SealedRecord],
    ids: list[uuid.UUID],
) -> dict[uuid.UUID, SealedRecord]:
    """Return the rows without those of these ids that are stored. The ids are in order."""
    if not ids:
        return rows
    cursor.execute(
        sql[f"stored_{event.name}"], {"record_ids": ids, "first": ids[0], "last": ids[-1]}
    )
    stored = {record_id for (record_id,) in cursor.fetchall()}
    return {record_id: row for record_id, row in rows.items() if record_id not in stored}


def columns_of(
    event: DeclaredEvent, records: Collection[SealedRecord]
) -> Sequence[Sequence[object]]:
    """Return the values of rows of an event by column, in the order of the columns of its table."""
    required, tokens, optional, numbers = _names_of(event)
    plain = [record.plain for record in records]
    made = [record.tokens for record in records]
    next_made = [record.next_tokens or {} for record in records]
    ciphertexts = [record.ciphertexts for record in records]

    def of_plain(name: str) -> list[object]:
        number = numbers.get(name)
        column: list[object] = [values.get(name) for values in plain]
        if number is None:
            return column
        return [None if value is None else number(str(value)) for value in column]

    return [
        [record.record_id for record in records],
        *map(of_plain, required),
        *([values.get(name) for values in made] for name in tokens),
        *([values.get(name) for values in next_made] for name in tokens),
        *([values.get(value.name) for values in ciphertexts] for value in event.personal),
        [record.token_generation for record in records],
        [record.next_token_generation for record in records],
        *map(of_plain, optional),
    ]


@functools.cache
def _names_of(
    event: DeclaredEvent,
) -> tuple[list[str], list[FieldName], list[str], Mapping[str, Callable[[str], object]]]:
    """Return the required plain columns, those of tokens, the optional plain ones, and the converters of numbers."""
    names = SqlEvent.of(event)
    return (
        [name.raw for name in names.required_plain],
        [name for value in event.personal for name, _ in value.token_names],
        [name.raw for name in names.optional_plain],
        {c.name: _NUMBERS[c.type] for c in event.plain if c.type in _NUMBERS},
    )


_NUMBERS: Final[Mapping[PlainType, Callable[[str], object]]] = {
    PlainType.INTEGER: BigInt,
    PlainType.DECIMAL: Decimal,
}
"""Converters from the text of a number to its value for binary COPY, by the type of the column."""
