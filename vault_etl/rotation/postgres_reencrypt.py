"""Ciphertexts on Postgres, for the role re-encrypt: read under old keys, and swapped for new ones."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_copy import copy_columns
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.postgres_stream import page_columns
from vault_etl.records.postgres import fence_holds
from vault_etl.rotation.postgres import move_range
from vault_etl.rotation.ranges import (
    OpenRotation,
    Page,
    Range,
    RotationStep,
    Swap,
    first_and_last,
)
from vault_etl.rotation.reencrypt import Reencrypter, Remaining, Replacement, SealedRow

MAX_REMAINING_IDS: Final = 10

_TRIES: Final = 5


class PostgresReencrypter(Reencrypter):
    """`Resealer` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._writer = WriterDeclaration.of(declaration)
        self._sql = sql_blocks("rotation/reencrypt.sql", declaration)
        self._names = {
            **{
                event.name: tuple(FieldName(value.name) for value in event.personal)
                for event in declaration.events
            },
            QUARANTINE_TABLE: (QUARANTINE,),
        }

    @override
    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        values = {
            "rotation_id": rotation.rotation_id,
            "fields": _names(rotation),
            "first": at.first,
            "last": at.last,
            "after": at.after,
        }
        names = self._names[at.place]
        with self._database.transaction(long=True) as cursor:
            columns, is_last = page_columns(
                cursor, self._sql[f"page_{at.place}"], values, limit, 2 + len(names)
            )
        return Page(_rows(at.place, names, columns), is_last=is_last)

    @retried_for_locks(tries=_TRIES)
    @override
    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: RotationStep
    ) -> Swap | None:
        """Swap values. A deadlock is followed by another attempt: swapping twice has the effect of once."""
        with self._database.transaction() as cursor:
            if replacements and not fence_holds(cursor, keys, None, self._writer):
                return None
            swap = Swap(0, 0)
            if replacements:
                swap = self._swap(cursor, step.range.place, replacements)
            move_range(cursor, step, is_whole=swap.rows == len(replacements))
            return swap

    @override
    def remaining(self, rotation: OpenRotation) -> Remaining:
        """Count by the kept counts; read the tables only to name rows, if the counts are not zero.

        All keys are one literal: for 10,000 single ones the server needs 50 ms to make a plan.
        """
        what = {
            "fields": _names(rotation),
            "old_keys": f"{{{','.join(map(str, rotation.old_keys))}}}",
        }
        record_ids = list[uuid.UUID]()
        with self._database.transaction(long=True) as cursor:
            cursor.execute(self._sql["remaining"], what)
            ((values,),) = cursor.fetchall()
            for place in self._names if values else ():
                limit = MAX_REMAINING_IDS - len(record_ids)
                cursor.execute(self._sql[f"remaining_{place}"], {**what, "limit": limit})
                record_ids += (record_id for (record_id,) in cursor.fetchall())
        return Remaining(values, tuple(record_ids))

    def _swap(
        self, cursor: psycopg2.extensions.cursor, place: EventName, batch: Sequence[Replacement]
    ) -> Swap:
        if place == QUARANTINE_TABLE:
            values: Mapping[str, object] = {
                "record_ids": [r.row.record_id for r in batch],
                "old": [r.row.ciphertexts[QUARANTINE] for r in batch],
                "new": [r.ciphertexts[QUARANTINE] for r in batch],
            }
            cursor.execute(self._sql["replace_quarantine"], values)
            return Swap(cursor.rowcount, cursor.rowcount)
        cursor.execute(self._sql[f"make_stage_{place}"])
        staged = copy_columns(_staged(batch, self._names[place]))
        cursor.copy_expert(self._sql[f"copy_stage_{place}"], io.BytesIO(staged))
        bounds = first_and_last(r.row.record_id for r in batch)
        cursor.execute(self._sql[f"replace_{place}"], bounds)
        ((rows, swapped),) = cursor.fetchall()
        return Swap(rows, swapped)


def _names(rotation: OpenRotation) -> list[str]:
    return list(rotation.fields)


def _rows(
    place: EventName, names: Sequence[FieldName], columns: Sequence[Sequence[bytes | None]]
) -> list[SealedRow]:
    return [
        SealedRow(
            place,
            uuid.UUID(bytes=record_id),
            (user_id or b"").decode(),
            {name: value for name, value in zip(names, sealed, strict=True) if value is not None},
        )
        for record_id, user_id, *sealed in zip(*columns, strict=True)
    ]


def _staged(batch: Sequence[Replacement], names: Sequence[FieldName]) -> list[list[object]]:
    """The ids, and the old and the new ciphertexts of each value. A value that is not replaced is not compared."""
    columns: list[list[object]] = [[each.row.record_id for each in batch]]
    for name in names:
        columns.append([r.row.ciphertexts[name] if name in r.ciphertexts else None for r in batch])
        columns.append([r.ciphertexts.get(name) for r in batch])
    return columns
