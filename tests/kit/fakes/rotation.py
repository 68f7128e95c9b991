"""Rotations that are under way, in memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase, FakeRange
from tests.kit.fakes.key_store import FakeKeyStore
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import QUARANTINE_TABLE, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.make import NewKey
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

CLAIM_SECONDS = 10


class FakeRotationReader(RotationReader):
    """`RotationReader` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def open(self, purpose: KeyPurpose) -> OpenRotation | None:
        return self._database.rotations.get(purpose)


class FakeDataRotations(DataRotations):
    """`DataRotations` in memory."""

    def __init__(self, database: FakeDatabase, keys: FakeKeyStore) -> None:
        self._database = database
        self._keys = keys

    @override
    def begin(
        self, request: AuditRequest, fields: Sequence[FieldName], ranges: int
    ) -> OpenRotation:
        if (going_on := self._database.rotations.get(KeyPurpose.DATA)) is not None:
            return going_on
        retired = tuple(self._keys.retire_data_keys(request, fields))
        old = frozenset(
            key.key_id
            for key in self._database.keys.values()
            if key.purpose is KeyPurpose.DATA
            and key.field in fields
            and key.state is KeyState.DECRYPT_ONLY
        )
        begun = OpenRotation(rotation_id=request.request_id, fields=tuple(fields), old_keys=old)
        _add(self._database, KeyPurpose.DATA, begun, ranges)
        return dataclasses.replace(begun, retired=retired)

    @override
    def end(self, rotation_id: uuid.UUID) -> None:
        end_rotation(self._database, rotation_id)


class FakeTokenRotations(TokenRotations):
    """`TokenRotations` in memory."""

    def __init__(self, database: FakeDatabase, keys: FakeKeyStore) -> None:
        self._database = database
        self._keys = keys

    @override
    def next_generation(self) -> int:
        return 1 + max(key.generation or 0 for key in self._database.keys.values())

    @override
    def begin(self, request: AuditRequest, keys: Sequence[NewKey], ranges: int) -> OpenRotation:
        if (going_on := self._database.rotations.get(KeyPurpose.TOKEN)) is not None:
            _reopen(self._database.ranges[going_on.rotation_id])
            return going_on
        held = {row.next_token_generation for row in self._database.records.values()}
        kept = [
            i for i in self._in(KeyState.DECRYPT_ONLY) if self._database.keys[i].generation in held
        ]
        if kept:
            hint = f"vault-etl keys destroy {min(kept)}"
            raise ConfigurationError("the generation before is still kept in the rows", hint=hint)
        if not self._in(KeyState.PENDING):
            if not keys:
                raise IncompleteError("no generation is pending any more")
            for key in keys:
                self._keys.store(key, KeyState.PENDING)
        begun = OpenRotation(
            rotation_id=request.request_id,
            fields=self._database.declaration.field_names,
            old_keys=frozenset(self._in(KeyState.ACTIVE)),
        )
        _add(self._database, KeyPurpose.TOKEN, begun, ranges)
        return begun

    @override
    def abort(self, request: AuditRequest) -> Sequence[int]:
        pending = sorted(self._in(KeyState.PENDING))
        for key_id in pending:
            self._database.set_state(key_id, KeyState.DESTROYED)
        if (going_on := self._database.rotations.get(KeyPurpose.TOKEN)) is not None:
            end_rotation(self._database, going_on.rotation_id)
        return pending

    def _in(self, state: KeyState) -> list[int]:
        return [
            key.key_id
            for key in self._database.keys.values()
            if key.purpose is KeyPurpose.TOKEN and key.state is state
        ]


class FakeRangeClaims(RangeClaims):
    """`RangeClaims` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        now = self._database.clock.monotonic()
        for held in self._database.ranges.get(rotation_id, []):
            if not held.is_done and held.claimed_until <= now:
                held.claim, held.claimed_until = claim, now + CLAIM_SECONDS
                return held.range
        return None

    @override
    def unfinished(self, rotation_id: uuid.UUID) -> Unfinished:
        left = [held for held in self._database.ranges.get(rotation_id, []) if not held.is_done]
        free_at = min((held.claimed_until for held in left), default=0.0)
        return Unfinished(len(left), max(0.0, free_at - self._database.clock.monotonic()))

    @override
    def free(self, claim: uuid.UUID, opened: OpenedRows = NOTHING_OPENED) -> None:
        """Write no audit entry: the database's own function does that."""
        del opened
        for ranges in self._database.ranges.values():
            for held in ranges:
                if held.claim == claim:
                    held.claim, held.claimed_until = None, 0


def move_range(database: FakeDatabase, step: RotationStep, *, is_whole: bool) -> None:
    """Move a range on, if it is still claimed as the step says."""
    for ranges in database.ranges.values():
        for held in ranges:
            if held.claim == step.claim:
                held.claimed_until = database.clock.monotonic() + CLAIM_SECONDS
                if is_whole:
                    held.range = dataclasses.replace(
                        held.range, after=step.after or held.range.after
                    )
                    held.is_done = step.is_done


def _add(database: FakeDatabase, purpose: KeyPurpose, begun: OpenRotation, ranges: int) -> None:
    database.rotations[purpose] = dataclasses.replace(begun, resumed=True)
    database.ranges[begun.rotation_id] = [
        FakeRange(cut) for cut in _ranges(database, begun.fields, ranges)
    ]


def _reopen(ranges: Sequence[FakeRange]) -> None:
    if all(held.is_done for held in ranges):
        for held in ranges:
            held.is_done, held.range = False, dataclasses.replace(held.range, after=None)
            held.claim, held.claimed_until = None, 0


def _ranges(database: FakeDatabase, fields: Sequence[FieldName], ranges: int) -> Iterator[Range]:
    """Cut the tables with values of these fields, in the order of their names."""
    fields_of = database.declaration.fields_of_values
    for place in sorted(database.tables):
        ids = [record.record_id for record in database.records.values() if record.event == place]
        if not set(fields) & set(fields_of[place].values()):
            continue
        if place == QUARANTINE_TABLE and database.quarantine:
            yield Range(place, min(database.quarantine), max(database.quarantine))
        elif ids:
            yield from split(place, min(ids), max(ids), ranges)


def end_rotation(database: FakeDatabase, rotation_id: uuid.UUID) -> None:
    """End a rotation, and remove its ranges."""
    for purpose, going_on in list(database.rotations.items()):
        if going_on.rotation_id == rotation_id:
            del database.rotations[purpose], database.ranges[rotation_id]
