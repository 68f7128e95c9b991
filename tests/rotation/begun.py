"""Rotations that have begun over scattered rows, and claims of all their ranges."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Sequence

from tests.kit.bench import Bench
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer
from vault_etl.crypto.fields import QUARANTINE_TABLE, EventName, FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.rotation.ranges import OpenRotation, Range


def begin_data(bench: Bench, *fields: FieldName, slices: int = 1) -> OpenRotation:
    """Begin a rotation of the data keys of these fields, or of all."""
    wanted = fields or bench.declaration.data_fields
    return bench.data_rotations.begin(rotate_request(*wanted), wanted, slices)


def begin_tokens(bench: Bench, generation: int = 2, slices: int = 1) -> OpenRotation:
    """Begin a rotation of the token keys."""
    request = rotate_request(*bench.declaration.field_names)
    return bench.token_rotations.begin(request, bench.token_keys(generation), slices)


def states(bench: Bench, key_ids: Sequence[int] | frozenset[int]) -> set[KeyState]:
    """The states of these keys."""
    return {key.state for key in bench.keys.keys(key_ids)}


def generations(bench: Bench) -> set[tuple[int | None, KeyState]]:
    """The generations and states of the token keys in use or pending."""
    return {(key.generation, key.state) for key in bench.keys.token_keys()}


def scattered(process: Writer) -> dict[EventName, set[uuid.UUID]]:
    """Store rows of three months, of the same millisecond, and without a date; and quarantined bodies."""
    now = process.bench.now()
    moments = [now, now, now - dt.timedelta(days=32), now - dt.timedelta(days=33)]
    moments += [dt.datetime.fromtimestamp(0, dt.UTC)] * 3
    moments += [now - dt.timedelta(seconds=7**i) for i in range(6)]
    ids = [
        record_id_of_message(os.urandom(16).hex(), round(moment.timestamp() * 1000))
        for moment in moments
    ]
    bodies = [process.rejection() for _ in range(4)]
    process.load(*(process.record(record_id=i) for i in ids), *bodies)
    return {process.bench.event.name: set(ids), QUARANTINE_TABLE: {row.record_id for row in bodies}}


def claimed(bench: Bench, rotation: OpenRotation) -> list[tuple[uuid.UUID, Range]]:
    """Claim ranges until no range is left."""
    found = []
    while (held := bench.claims.claim(rotation.rotation_id, claim := uuid.uuid4())) is not None:
        found.append((claim, held))
    return found
