"""A new generation of tokens on Postgres, for the role re-encrypt: filled in, compared, and cut over to."""

from __future__ import annotations

import io
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import psycopg2.extensions
from typing_extensions import override

from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.declaration.searched import searched
from vault_etl.declaration.sql import sql_blocks
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_copy import copy_columns
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.postgres_stream import page_columns, query_columns
from vault_etl.records.postgres import fence_holds
from vault_etl.rotation.backfill import BackfillStore
from vault_etl.rotation.compare_tokens import (
    MAX_NAMED,
    Blamed,
    Mapped,
    TokenComparer,
    TokenComparison,
)
from vault_etl.rotation.leave_out import LeaveOut, Named
from vault_etl.rotation.next_tokens import Generations, NextTokens, TokenRow
from vault_etl.rotation.postgres import month_bounds, move_range
from vault_etl.rotation.ranges import Page, Range, RotationStep, first_and_last
from vault_etl.rotation.token_keys import NamedCounter

MAX_BLAMED: Final = 3
"""Logins, and keys, that a comparison names."""

MAX_PAIRS: Final = 100
"""Pairs of tokens of one field that do not map one to one, of each of which a comparison reads a row."""

_TRIES: Final = 5

_Value = TypeVar("_Value")


class PostgresTokenBackfill(BackfillStore):
    """`BackfillStore` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration
        self._writer = WriterDeclaration.of(declaration)
        self._sql = sql_blocks("rotation/tokens.sql", declaration)

    @override
    def page(self, generations: Generations, at: Range, limit: int) -> Page[TokenRow]:
        return self._page("page", _numbers(generations), at, limit)

    @override
    def named(self, what: LeaveOut, at: Range, limit: int) -> Page[TokenRow]:
        return self._page("named", _criteria(what), at, limit)

    @retried_for_locks(tries=_TRIES)
    @override
    def fill(
        self, rows: Sequence[NextTokens], generations: Generations, step: RotationStep
    ) -> int | None:
        """Fill rows. A deadlock is followed by another attempt: filling twice has the effect of once."""
        place = step.range.place
        with self._database.transaction() as cursor:
            if not fence_holds(cursor, (), (generations.active, generations.pending), self._writer):
                return None
            filled = 0
            if rows:
                stage(cursor, self._declaration, place, rows)
                cursor.execute(
                    self._sql[f"fill_{place}"],
                    {
                        "pending": generations.pending,
                        **first_and_last(made.row.record_id for made in rows),
                    },
                )
                filled = cursor.rowcount
            move_range(cursor, step, is_whole=filled == len(rows))
            return filled

    def _page(self, which: str, what: dict[str, object], at: Range, limit: int) -> Page[TokenRow]:
        event = self._declaration.event(at.place)
        with self._database.transaction(long=True) as cursor:
            values = {**what, "first": at.first, "last": at.last, "after": at.after}
            return token_page(cursor, self._sql[f"{which}_{at.place}"], event, values, limit)


class PostgresTokenComparer(TokenComparer, NamedCounter):
    """`TokenComparer` and `NamedCounter` on Postgres. A comparison groups the whole table by its tokens."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration
        self._sql = sql_blocks("rotation/tokens.sql", declaration)
        self._cut_over = sql_blocks("rotation/cut_over.sql", declaration)

    @override
    def compare(self, generations: Generations) -> TokenComparison:
        values = {
            **_numbers(generations),
            "limit": MAX_NAMED,
            "blamed": MAX_BLAMED,
            "pairs": MAX_PAIRS,
        }
        with self._database.transaction(long=True) as cursor:
            cursor.execute(self._sql["freeze"])
            cursor.execute(self._cut_over["partitions"])
            partitions = tuple(relation for relation, _ in cursor.fetchall())
            cursor.execute(self._sql["missing"], values)
            missing = cursor.fetchall()
            blamed = list[Blamed]()
            if missing:
                cursor.execute(self._sql["blamed"], values)
                blamed = [Blamed(*row) for row in cursor.fetchall()]
            cursor.execute(self._sql["left_out"], values)
            ((left_out,),) = cursor.fetchall()
            fields, unequal = dict[FieldName, Mapped](), dict[uuid.UUID, TokenRow]()
            for name in searched(self._declaration):
                cursor.execute(self._sql[f"map_{name}"], values)
                ((old, new, pairs),) = cursor.fetchall()
                fields[name] = Mapped(old, new, pairs)
                if not old == new == pairs:
                    unequal |= self._unequal(cursor, name, values)
        return TokenComparison(
            fields=fields,
            missing=missing[0][0] if missing else 0,
            missing_ids=tuple(record_id for _, record_id in missing),
            blamed=tuple(blamed),
            unequal=tuple(unequal.values()),
            left_out=left_out,
            partitions=partitions,
        )

    def _unequal(
        self, cursor: psycopg2.extensions.cursor, name: FieldName, values: dict[str, object]
    ) -> dict[uuid.UUID, TokenRow]:
        found = dict[uuid.UUID, TokenRow]()
        for event, column in searched(self._declaration)[name].columns(self._declaration):
            query = self._sql[f"unequal_{event.name}/{column}"]
            found |= {row.record_id: row for row in token_rows(cursor, query, event, values)}
        return found

    @override
    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """Draw random record ids, and take the first row behind each."""
        found = dict[uuid.UUID, TokenRow]()
        with self._database.transaction(long=True) as cursor:
            bounds = [
                (event.name, *month)
                for event in self._declaration.events
                for month in month_bounds(cursor, self._declaration, event.name)
            ]
            if not bounds:
                return []
            picked = random.SystemRandom()
            starts: dict[EventName, list[uuid.UUID]] = {}
            for event_name, first, last in picked.choices(bounds, k=rows):
                start = uuid.UUID(int=picked.randint(first.int, last.int))
                starts.setdefault(event_name, []).append(start)
            for event_name, of_event in starts.items():
                values = {**_numbers(generations), "starts": of_event}
                query, event = (
                    self._sql[f"sample_{event_name}"],
                    self._declaration.event(event_name),
                )
                found |= {row.record_id: row for row in token_rows(cursor, query, event, values)}
        return list(found.values())

    @override
    def count(self, generations: Generations | None) -> int:
        with self._database.transaction(long=True) as cursor:
            pending = None if generations is None else generations.pending
            cursor.execute(self._sql["count"], {"pending": pending})
            ((count,),) = cursor.fetchall()
        return int(count)

    @override
    def count_named(self, what: LeaveOut) -> Named:
        with self._database.transaction(long=True) as cursor:
            cursor.execute(self._sql["count_named"], {**_criteria(what), "limit": MAX_NAMED})
            ((keys, logins, arns, rows),) = cursor.fetchall()
        return Named(what, keys, tuple(logins), tuple(arns), rows)


def _criteria(what: LeaveOut) -> dict[str, object]:
    return {
        "record_id": what.record_id,
        "key_id": what.key_id,
        "login": what.login,
        "since": what.since,
        "until": what.until,
    }


def _numbers(generations: Generations) -> dict[str, object]:
    return {"active": generations.active, "pending": generations.pending}


def stage(
    cursor: psycopg2.extensions.cursor,
    declaration: Declaration,
    place: EventName,
    rows: Sequence[NextTokens],
) -> None:
    """Copy rows of an event and their new tokens into the session's staging table of the event."""
    sql = sql_blocks("rotation/tokens.sql", declaration)
    event = declaration.event(place)
    tokens, sealed = _token_names(event), _names(event)
    cursor.execute(sql[f"make_stage_{place}"])
    staged: list[Sequence[object]] = [
        [made.row.record_id for made in rows],
        [made.row.generation for made in rows],
        *([made.row.tokens.get(name) for made in rows] for name in tokens),
        *([made.row.ciphertexts.get(name) for made in rows] for name in sealed),
        *([made.tokens.get(name) for made in rows] for name in tokens),
    ]
    cursor.copy_expert(sql[f"copy_stage_{place}"], io.BytesIO(copy_columns(staged)))


def token_page(
    cursor: psycopg2.extensions.cursor,
    query: str,
    event: DeclaredEvent,
    values: Mapping[str, object],
    limit: int,
) -> Page[TokenRow]:
    """Read a page of rows by a query for `page_columns`, whose columns are those of `token_rows`."""
    columns, is_last = page_columns(cursor, query, values, limit, _width(event))
    return Page(_rows(event, columns), is_last=is_last)


def token_rows(
    cursor: psycopg2.extensions.cursor,
    query: str,
    event: DeclaredEvent,
    values: Mapping[str, object],
) -> list[TokenRow]:
    """Read rows by a query for id, subject, generation; all tokens, all ciphertexts, all next tokens."""
    return _rows(event, query_columns(cursor, query, values, _width(event)))


def _rows(event: DeclaredEvent, columns: Sequence[Sequence[bytes | None]]) -> list[TokenRow]:
    tokens, sealed = _token_names(event), _names(event)
    ids, subjects, generations, *values = columns
    sealed_at, next_at = len(tokens), len(tokens) + len(sealed)
    parts = (
        _by_name(tokens, map(_uuids, values[:sealed_at])),
        _by_name(sealed, values[sealed_at:next_at]),
        _by_name(tokens, map(_uuids, values[next_at:])),
    )
    return [
        TokenRow(
            event.name,
            uuid.UUID(bytes=record_id),
            (subject or b"").decode(),
            int.from_bytes(generation or b"", "big"),
            *by_name,
        )
        for record_id, subject, generation, *by_name in zip(
            ids, subjects, generations, *parts, strict=True
        )
    ]


def _names(event: DeclaredEvent) -> tuple[FieldName, ...]:
    return tuple(value.name for value in event.personal)


def _token_names(event: DeclaredEvent) -> tuple[FieldName, ...]:
    return tuple(name for value in event.personal for name, _ in value.token_names)


def _uuids(column: Iterable[bytes | None]) -> list[uuid.UUID | None]:
    return [None if value is None else uuid.UUID(bytes=value) for value in column]


def _by_name(
    names: Sequence[FieldName], columns: Iterable[Iterable[_Value | None]]
) -> list[dict[FieldName, _Value]]:
    """The values of each row, by their names."""
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def _width(event: DeclaredEvent) -> int:
    return 3 + 2 * len(_token_names(event)) + len(_names(event))
