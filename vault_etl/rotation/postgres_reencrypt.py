"""Ciphertexts on Postgres, for the role re-encrypt: read under old keys, and swapped for new ones."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg2.extensions
import stamina
from typing_extensions import override

from vault_etl.crypto.fields import (
    DEVICE_ID,
    IP,
    PERSONAL_FIELDS,
    QUARANTINE,
    QUARANTINE_TABLE,
    USER_LOGINS,
    EventName,
    FieldName,
)
from vault_etl.crypto.keys import DataKey
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_copy import copy_binary
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.platform.postgres_stream import page
from vault_etl.platform.resources import blocks
from vault_etl.records.postgres import fence_holds
from vault_etl.rotation.postgres import move_range
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, Swap
from vault_etl.rotation.reencrypt import Reencrypter, Remaining, Replacement, SealedRow

MAX_REMAINING_IDS: Final = 10

_SQL: Final = blocks("rotation/reencrypt.sql")

_TRIES: Final = 5

_FIELDS: Final = {USER_LOGINS: PERSONAL_FIELDS, QUARANTINE_TABLE: (QUARANTINE,)}
"""Fields in the order of the columns of the blocks `page_…`."""


class PostgresReencrypter(Reencrypter):
    """`Resealer` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        values = {
            "rotation_id": rotation.rotation_id,
            "fields": _names(rotation),
            "first": at.first,
            "last": at.last,
            "after": at.after,
        }
        with self._database.transaction(long=True) as cursor:
            found, is_last = page(cursor, _SQL[f"page_{at.place}"], values, limit)
        return Page([_row(at.place, row) for row in found], is_last=is_last)

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    @override
    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: RotationStep
    ) -> Swap | None:
        """Swap values. A deadlock is followed by another attempt: swapping twice has the effect of once."""
        with self._database.transaction() as cursor:
            if replacements and not fence_holds(cursor, keys, None):
                return None
            swap = Swap(0, 0)
            if replacements:
                swap = _SWAPS[step.range.place](cursor, replacements)
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
            cursor.execute(_SQL["remaining"], what)
            ((values,),) = cursor.fetchall()
            for place in _FIELDS if values else ():
                limit = MAX_REMAINING_IDS - len(record_ids)
                cursor.execute(_SQL[f"remaining_{place}"], {**what, "limit": limit})
                record_ids += (record_id for (record_id,) in cursor.fetchall())
        return Remaining(values, tuple(record_ids))


def _names(rotation: OpenRotation) -> list[str]:
    return list(rotation.fields)


def _row(place: EventName, row: Sequence[Any]) -> SealedRow:
    record_id, user_id, *sealed = row
    ciphertexts = {
        field: bytes(value)
        for field, value in zip(_FIELDS[place], sealed, strict=True)
        if value is not None
    }
    return SealedRow(place, record_id, user_id, ciphertexts)


def _swap_records(cursor: psycopg2.extensions.cursor, batch: Sequence[Replacement]) -> Swap:
    cursor.execute(_SQL["make_stage"])
    rows = ((r.row.record_id, *_old_and_new(r, IP), *_old_and_new(r, DEVICE_ID)) for r in batch)
    cursor.copy_expert(_SQL["copy_stage"], io.BytesIO(copy_binary(rows)))
    record_ids = [r.row.record_id for r in batch]
    cursor.execute(_SQL["replace_user_logins"], {"first": min(record_ids), "last": max(record_ids)})
    ((rows, values),) = cursor.fetchall()
    return Swap(rows, values)


def _old_and_new(replacement: Replacement, field: FieldName) -> tuple[bytes | None, bytes | None]:
    """The old and the new ciphertext of a field. A field that is not replaced is not compared."""
    new = replacement.ciphertexts.get(field)
    return (None if new is None else replacement.row.ciphertexts[field]), new


def _swap_bodies(cursor: psycopg2.extensions.cursor, batch: Sequence[Replacement]) -> Swap:
    values: Mapping[str, object] = {
        "record_ids": [r.row.record_id for r in batch],
        "old": [r.row.ciphertexts[QUARANTINE] for r in batch],
        "new": [r.ciphertexts[QUARANTINE] for r in batch],
    }
    cursor.execute(_SQL["replace_quarantine"], values)
    return Swap(cursor.rowcount, cursor.rowcount)


_SWAPS: Final = {USER_LOGINS: _swap_records, QUARANTINE_TABLE: _swap_bodies}
