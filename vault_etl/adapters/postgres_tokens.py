"""A new generation of tokens on Postgres, for the role re-encrypt: filled in beside the old one, and checked."""

from __future__ import annotations

import io
import random
import uuid
from collections.abc import Sequence
from typing import Any, Final

import stamina

from vault_etl.adapters.copy_binary import copy_binary
from vault_etl.adapters.postgres import Database, LockTimeoutError
from vault_etl.adapters.postgres_records import fence_holds
from vault_etl.adapters.postgres_rotation import month_bounds, move_range
from vault_etl.adapters.sql import blocks
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.rotation import Range, Step
from vault_etl.ports.tokens import Check, Generations, Mapped, NextTokens, TokenPage, TokenRow

MAX_NAMED: Final = 10
"""Records that a check names."""

_SQL: Final = blocks("tokens.sql")

_TRIES: Final = 5


class PostgresTokenBackfill:
    """`TokenBackfill` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, generations: Generations, at: Range, limit: int) -> TokenPage:
        """See `TokenBackfill.page`."""
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["page"],
                {
                    **_numbers(generations),
                    "first": at.first,
                    "last": at.last,
                    "after": at.after,
                    "limit": limit,
                },
            )
            rows = [_row(row) for row in cursor.fetchall()]
        return TokenPage(rows, is_last=len(rows) < limit)

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def fill(self, rows: Sequence[NextTokens], generations: Generations, step: Step) -> int | None:
        """See `TokenBackfill.fill`. After a deadlock it is tried again: filling twice is once."""
        record_ids = [made.row.record_id for made in rows]
        with self._database.transaction() as cursor:
            if not fence_holds(cursor, (), (generations.active, generations.pending)):
                return None
            filled = 0
            if rows:
                cursor.execute(_SQL["make_stage"])
                cursor.copy_expert(_SQL["copy_stage"], io.BytesIO(copy_binary(map(_staged, rows))))
                cursor.execute(
                    _SQL["fill"],
                    {
                        **_numbers(generations),
                        "first": min(record_ids),
                        "last": max(record_ids),
                    },
                )
                filled = cursor.rowcount
            move_range(cursor, step, is_whole=filled == len(rows))
            return filled

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def leave_out(self, record_ids: Sequence[uuid.UUID], generations: Generations) -> int | None:
        """See `TokenBackfill.leave_out`."""
        with self._database.transaction() as cursor:
            if not fence_holds(cursor, (), (generations.active, generations.pending)):
                return None
            cursor.execute(_SQL["leave_out"], {"record_ids": list(record_ids)})
            return cursor.rowcount


class PostgresTokenChecker:
    """`TokenChecker` on Postgres. A check groups the whole table by its tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, generations: Generations, leave_out: Sequence[uuid.UUID]) -> Check:
        """See `TokenChecker.check`."""
        values = {
            **_numbers(generations),
            "leave_out": list(leave_out),
            "limit": MAX_NAMED,
        }
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["freeze"])
            cursor.execute(_SQL["missing"], values)
            missing = cursor.fetchall()
            fields, unequal = dict[Field, Mapped](), list[uuid.UUID]()
            for field in PERSONAL_FIELDS:
                cursor.execute(_SQL[f"map_{field.value}"], values)
                ((old, new, pairs),) = cursor.fetchall()
                fields[field] = Mapped(old, new, pairs)
                if not old == new == pairs:
                    cursor.execute(_SQL[f"unequal_{field.value}"], values)
                    unequal += [record_id for (record_id,) in cursor.fetchall()]
        return Check(
            fields=fields,
            missing=missing[0][0] if missing else 0,
            missing_ids=tuple(record_id for _, record_id in missing),
            unequal_ids=tuple(dict.fromkeys(unequal))[:MAX_NAMED],
        )

    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """See `TokenChecker.sample`: the first row behind each of so many random places."""
        with self._database.transaction() as cursor:
            bounds = month_bounds(cursor)
            if not bounds:
                return []
            picked = random.SystemRandom()
            starts = [
                uuid.UUID(int=picked.randint(first.int, last.int))
                for first, last in picked.choices(bounds, k=rows)
            ]
            cursor.execute(_SQL["sample"], {**_numbers(generations), "starts": starts})
            found = {row[0]: _row(row) for row in cursor.fetchall()}
        return list(found.values())

    def count(self, generations: Generations | None) -> int:
        """See `TokenChecker.count`."""
        with self._database.transaction() as cursor:
            pending = None if generations is None else generations.pending
            cursor.execute(_SQL["count"], {"pending": pending})
            ((count,),) = cursor.fetchall()
        return int(count)


def _numbers(generations: Generations) -> dict[str, object]:
    return {"active": generations.active, "pending": generations.pending}


def _row(row: Sequence[Any]) -> TokenRow:
    record_id, user_id, *values = row
    tokens, sealed, made = values[0:2], values[2:4], values[4:6]
    return TokenRow(
        record_id,
        user_id,
        tokens=_there(tokens),
        ciphertexts={field: bytes(value) for field, value in _there(sealed).items()},
        next_tokens=_there(made),
    )


def _there(values: Sequence[Any]) -> dict[Field, Any]:
    pairs = zip(PERSONAL_FIELDS, values, strict=True)
    return {field: value for field, value in pairs if value is not None}


def _staged(made: NextTokens) -> tuple[object, ...]:
    """In the order of `copy_stage`."""
    row = made.row
    return (
        row.record_id,
        *(row.tokens.get(field) for field in PERSONAL_FIELDS),
        *(row.ciphertexts.get(field) for field in PERSONAL_FIELDS),
        *(made.tokens.get(field) for field in PERSONAL_FIELDS),
    )
