"""New rows go by COPY straight into the tables, behind the fence (ADR 61)."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import psycopg2.errors
import psycopg2.extensions

from vault_etl.declaration.model import Declaration, DeclaredEvent, PlainType
from vault_etl.declaration.sql import sql_blocks
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.platform.postgres_copy import BigInt, copy_binary
from vault_etl.records.messages import SealedRecord

_Row = tuple[object, ...]


def insert_records(
    cursor: psycopg2.extensions.cursor,
    records: Sequence[SealedRecord],
    declaration: Declaration,
    *,
    checks_first: bool = True,
) -> frozenset[uuid.UUID]:
    """Store the rows that are not stored yet, behind a fence that holds; return their ids.

    With `checks_first` the stored rows are asked for before the COPY. Without it, a COPY that meets a stored row is
    taken back, and repeated without that row: less work if no row is stored, and dead rows in the table if one is.
    """
    sql = sql_blocks("records/insert.sql", declaration)
    stored = set[uuid.UUID]()
    for event in declaration.events:
        row = row_maker(event)
        rows = {r.record_id: row(r) for r in records if r.event == event.name}
        stored |= _insert(cursor, sql, event, rows, checks_first=checks_first).keys()
    return frozenset(stored)


def _insert(
    cursor: psycopg2.extensions.cursor,
    sql: Mapping[str, str],
    event: DeclaredEvent,
    rows: Mapping[uuid.UUID, _Row],
    *,
    checks_first: bool,
) -> Mapping[uuid.UUID, _Row]:
    """Return the rows that were stored."""
    # In the order of their ids, so that sessions with the same rows do not deadlock.
    rows = dict(sorted(rows.items()))
    if checks_first:
        rows = _not_stored(cursor, sql, event, rows)
    while rows:
        cursor.execute(sql["keep"])
        try:
            copied = copy_binary(rows.values())
            cursor.copy_expert(sql[f"copy_{event.name}"], io.BytesIO(copied))
        except psycopg2.errors.UniqueViolation:
            cursor.execute(sql["back"])
            new = _not_stored(cursor, sql, event, rows)
            if len(new) == len(rows):
                raise  # what is in the way is not to be seen: not one of the records
            rows = new
        else:
            break
    return rows


def _not_stored(
    cursor: psycopg2.extensions.cursor,
    sql: Mapping[str, str],
    event: DeclaredEvent,
    rows: dict[uuid.UUID, _Row],
) -> dict[uuid.UUID, _Row]:
    if not rows:
        return rows
    ids = list(rows)
    cursor.execute(
        sql[f"stored_{event.name}"], {"record_ids": ids, "first": ids[0], "last": ids[-1]}
    )
    stored = {record_id for (record_id,) in cursor.fetchall()}
    return {record_id: row for record_id, row in rows.items() if record_id not in stored}


def row_maker(event: DeclaredEvent) -> Callable[[SealedRecord], _Row]:
    """Return what makes a row of an event: its values in the order of the columns of its table."""
    names = SqlEvent.of(event)
    required = [name.raw for name in names.required_plain]
    optional = [name.raw for name in names.optional_plain]
    values = [value.name for value in event.personal]
    tokens = [name for value in event.personal for name, _ in value.token_names]
    numbers = {
        column.name: _NUMBERS[column.type] for column in event.plain if column.type in _NUMBERS
    }

    def row(record: SealedRecord) -> _Row:
        plain: Mapping[str, Any] = record.plain
        if numbers:
            plain = {
                name: numbers[name](value) if name in numbers and value is not None else value
                for name, value in plain.items()
            }
        next_tokens = record.next_tokens or {}
        return (
            record.record_id,
            *map(plain.get, required),
            *map(record.tokens.get, tokens),
            *map(next_tokens.get, tokens),
            *map(record.ciphertexts.get, values),
            record.token_generation,
            record.next_token_generation,
            *map(plain.get, optional),
        )

    return row


_NUMBERS: Final[Mapping[PlainType, Callable[[str], object]]] = {
    PlainType.INTEGER: BigInt,
    PlainType.DECIMAL: Decimal,
}
"""What makes a value of COPY of a number, which a record has by its spelling."""
