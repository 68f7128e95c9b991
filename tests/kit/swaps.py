"""Swaps of ciphertexts, outside of any rotation."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from tests.kit.declarations import DEFAULT
from tests.kit.declared import USER_LOGINS
from tests.kit.scratch import Scratch, ciphertext
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.keys import DataKey
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.ranges import OpenRotation, Range, RotationStep, Swap
from vault_etl.rotation.reencrypt import Replacement, SealedRow

FIRST, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)


def everything(place: EventName = USER_LOGINS, after: uuid.UUID | None = None) -> Range:
    """All rows behind `after`."""
    return Range(place, FIRST, LAST, after)


def outside(place: EventName = USER_LOGINS) -> RotationStep:
    """A step in a range that no process has claimed, and that no rotation has."""
    return RotationStep(uuid.uuid4(), everything(place), None, is_done=False)


def swaps(records: Iterable[SealedRecord], *keys: DataKey) -> list[Replacement]:
    """New bytes under these keys, one a field, for what the records were stored with."""
    return [
        Replacement(
            SealedRow(
                USER_LOGINS,
                record.record_id,
                record.subject,
                {key.field: record.ciphertexts[key.field] for key in keys},
            ),
            {key.field: ciphertext(key.key_id) for key in keys},
        )
        for record in records
    ]


def replaced(scratch: Scratch, batch: list[Replacement], *keys: DataKey) -> Swap | None:
    """Swap a batch through the real adapter."""
    with scratch.database("re-encrypt") as database:
        return PostgresReencrypter(database, DEFAULT).replace(
            batch, keys, outside(batch[0].row.place)
        )


def open_data_rotation(sql: Callable[..., object], rotation: OpenRotation) -> None:
    """Let this be the rotation of data keys that is under way, whatever was."""
    sql("DELETE FROM vault_etl.key_rotations WHERE purpose = 'data'")
    sql(
        "INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys)"
        " VALUES ('data', %s, %s, %s::bigint[])",
        rotation.rotation_id,
        list(rotation.fields),
        sorted(rotation.old_keys),
    )
