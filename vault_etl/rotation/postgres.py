"""Rotations on Postgres, for the role re-encrypt: begun behind the fence, claimed range by range."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.keys.make import NewKey
from vault_etl.keys.postgres import (
    FENCE_SECONDS,
    FENCE_TRIES,
    PostgresKeyStore,
    as_json,
    asked_by,
    close_fence,
)
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks
from vault_etl.records.messages import RecordRange
from vault_etl.rotation.data_keys import DataRotations, RotationReader
from vault_etl.rotation.pending_generation import TokenRotations
from vault_etl.rotation.ranges import (
    NOTHING_OPENED,
    OpenedRows,
    OpenRotation,
    Range,
    RotationStep,
    split,
)
from vault_etl.rotation.workers import RangeClaims, Unfinished

CLAIM_TRIES: Final = 5

_SQL: Final = blocks("rotation/rotation.sql")
_RECORDS: Final = blocks("records/records.sql")


class PostgresRotationReader(RotationReader):
    """`RotationReader` on Postgres, also for the role rotate."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def open(self, purpose: KeyPurpose) -> OpenRotation | None:
        with self._database.transaction() as cursor:
            return _open(cursor, purpose)


class PostgresDataRotations(DataRotations):
    """`DataRotations` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration

    @override
    def begin(
        self, request: AuditRequest, fields: Sequence[FieldName], ranges: int
    ) -> OpenRotation:
        """Retire the keys first, because an entry commits by itself; then begin."""
        with self._database.transaction() as cursor:
            if (going_on := _open(cursor, KeyPurpose.DATA)) is not None:
                return going_on
        retired = PostgresKeyStore(self._database).retire_data_keys(request, fields)
        begun = self._begin(request, fields, ranges)
        return dataclasses.replace(begun, retired=tuple(retired))

    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    def _begin(
        self, request: AuditRequest, fields: Sequence[FieldName], ranges: int
    ) -> OpenRotation:
        with self._database.transaction() as cursor:
            close_fence(cursor)
            if (going_on := _open(cursor, KeyPurpose.DATA)) is not None:
                return going_on
            names = list(fields)
            cursor.execute(_SQL["old_data_keys"], {"fields": names})
            old = frozenset(key_id for (key_id,) in cursor.fetchall())
            begun = OpenRotation(rotation_id=request.request_id, fields=tuple(fields), old_keys=old)
            _add(cursor, self._declaration, KeyPurpose.DATA, begun, ranges)
            return begun

    @override
    def end(self, rotation_id: uuid.UUID) -> None:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["end_rotation"], {"rotation_id": rotation_id})


class PostgresTokenRotations(TokenRotations):
    """`TokenRotations` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration

    @override
    def next_generation(self) -> int:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["next_generation"])
            ((generation,),) = cursor.fetchall()
        return int(generation)

    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    @override
    def begin(self, request: AuditRequest, keys: Sequence[NewKey], ranges: int) -> OpenRotation:
        """Make the keys first, because an entry commits by itself; then begin."""
        with self._database.transaction() as cursor:
            is_new = _open(cursor, KeyPurpose.TOKEN) is None
            by_state = _token_keys(cursor)
        if is_new and KeyState.PENDING not in by_state and keys:
            _check_room(by_state)
            self._database.call(
                _SQL["add_pending_keys"], {**asked_by(request), "keys": as_json(keys)}
            )
        with self._database.transaction() as cursor:
            close_fence(cursor)
            if (going_on := _open(cursor, KeyPurpose.TOKEN)) is not None:
                cursor.execute(_SQL["reopen_ranges"], {"rotation_id": going_on.rotation_id})
                return going_on
            by_state = _token_keys(cursor)
            _check_room(by_state)
            if KeyState.PENDING not in by_state:
                message = "another process has just aborted this rotation of the token keys"
                raise IncompleteError(message, hint="run the command again to begin another")
            begun = OpenRotation(
                rotation_id=request.request_id,
                fields=self._declaration.field_names,
                old_keys=frozenset(by_state.get(KeyState.ACTIVE, ())),
            )
            _add(cursor, self._declaration, KeyPurpose.TOKEN, begun, ranges)
            return begun

    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    @override
    def abort(self, request: AuditRequest) -> Sequence[int]:
        (aborted,) = self._database.call(_SQL["abort"], asked_by(request))
        return list(aborted)


class PostgresRangeClaims(RangeClaims):
    """`RangeClaims` on Postgres, by the clock of the database, for the run of `keys rotate` with this request id."""

    def __init__(self, database: Database, request_id: uuid.UUID) -> None:
        self._database = database
        self._request_id = request_id

    @retried_for_locks(tries=CLAIM_TRIES)
    @override
    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        row = self._database.call(
            _SQL["claim_range"],
            {"rotation_id": rotation_id, "claim": claim, "request_id": self._request_id},
        )
        return None if row[0] is None else Range(EventName(row[0]), *row[1:])

    @override
    def unfinished(self, rotation_id: uuid.UUID) -> Unfinished:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["unfinished_ranges"], {"rotation_id": rotation_id})
            ((count, seconds),) = cursor.fetchall()
        return Unfinished(int(count), seconds or 0.0)

    @override
    def free(self, claim: uuid.UUID, opened: OpenedRows = NOTHING_OPENED) -> None:
        self._database.call(
            _SQL["free_range"],
            {"claim": claim, "rows": opened.rows, "key_ids": sorted(opened.key_ids)},
        )


def move_range(cursor: psycopg2.extensions.cursor, step: RotationStep, *, is_whole: bool) -> None:
    """Move a range on in the transaction that wrote a page of it. A page that is not whole leaves it where it is.

    The range stays where it is too if another worker has claimed it since.
    """
    cursor.execute(
        _SQL["move_range"],
        {
            "claim": step.claim,
            "after": step.after if is_whole else None,
            "done": step.is_done and is_whole,
        },
    )


def month_bounds(
    cursor: psycopg2.extensions.cursor, declaration: Declaration, event: EventName
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """The first and the last record of each month in which the event has records."""
    cursor.execute(_RECORDS["ranges"])
    ranges = (RecordRange(EventName(name), *row) for name, *row in cursor.fetchall())
    months = sorted((r.first, r.end) for r in ranges if r.event == event and not r.closed)
    sql = sql_blocks("rotation/ranges.sql", declaration)
    cursor.execute(
        sql[f"bounds_{event}"],
        {"firsts": [first for first, _ in months], "ends": [end for _, end in months]},
    )
    return list(cursor.fetchall())


def _open(cursor: psycopg2.extensions.cursor, purpose: KeyPurpose) -> OpenRotation | None:
    cursor.execute(_SQL["open"], {"purpose": purpose.value})
    row = cursor.fetchone()
    if row is None:
        return None
    return OpenRotation(
        rotation_id=row[0],
        fields=tuple(FieldName(name) for name in row[1]),
        old_keys=frozenset(row[2]),
        resumed=True,
    )


def _check_room(by_state: dict[KeyState, list[int]]) -> None:
    """Raise ConfigurationError while the previous generation is kept: a row has room for two."""
    if kept := by_state.get(KeyState.DECRYPT_ONLY):
        message = "the tokens of the generation before are still kept in the rows"
        raise ConfigurationError(
            message, hint=f"they make room with `vault-etl keys destroy {min(kept)}`"
        )


def _token_keys(cursor: psycopg2.extensions.cursor) -> dict[KeyState, list[int]]:
    cursor.execute(_SQL["token_keys_by_state"])
    by_state: dict[KeyState, list[int]] = {}
    for key_id, state in cursor.fetchall():
        by_state.setdefault(KeyState(state), []).append(key_id)
    return by_state


def _add(
    cursor: psycopg2.extensions.cursor,
    declaration: Declaration,
    purpose: KeyPurpose,
    begun: OpenRotation,
    ranges: int,
) -> None:
    """Add the rotation and its ranges. Ranges are read behind the fence: rows that come later need no work."""
    cursor.execute(
        _SQL["add_rotation"],
        {
            "purpose": purpose.value,
            "rotation_id": begun.rotation_id,
            "fields": list(begun.fields),
            "old_keys": sorted(begun.old_keys),
        },
    )
    add_ranges(cursor, begun.rotation_id, list(_ranges(cursor, declaration, begun.fields, ranges)))


def add_ranges(
    cursor: psycopg2.extensions.cursor, rotation_id: uuid.UUID, ranges: Sequence[Range]
) -> None:
    """Add ranges of a rotation, which no worker has claimed yet."""
    cursor.execute(
        _SQL["add_ranges"],
        {
            "rotation_id": rotation_id,
            "places": [r.place for r in ranges],
            "firsts": [r.first for r in ranges],
            "lasts": [r.last for r in ranges],
        },
    )


def _ranges(
    cursor: psycopg2.extensions.cursor,
    declaration: Declaration,
    fields: Sequence[FieldName],
    ranges: int,
) -> Iterator[Range]:
    """Cut the tables with values of these fields, each month into as many ranges as any other."""
    months = [
        (event.name, *bounds)
        for event in declaration.events
        if any(value.field.name in fields for value in event.personal)
        for bounds in month_bounds(cursor, declaration, event.name)
    ]
    for event_name, first, last in months:
        yield from split(event_name, first, last, -(-ranges // len(months)))
    if QUARANTINE in fields:
        cursor.execute(_SQL["quarantine_bounds"])
        ((first, last),) = cursor.fetchall()
        if first is not None:
            yield Range(QUARANTINE_TABLE, first, last)
