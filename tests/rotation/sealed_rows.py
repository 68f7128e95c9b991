"""Rows that a rotation of the data keys reads, and replacements of their ciphertexts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from tests.kit.bench import Bench
from tests.kit.rows import Writer, writer
from tests.kit.scratch import ciphertext
from tests.kit.swaps import everything
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.reencrypt import Replacement, SealedRow


def place_of(process: Writer, field: FieldName) -> EventName:
    """The table of the values of a field."""
    return QUARANTINE_TABLE if field == QUARANTINE else process.bench.event.name


def loaded(bench: Bench) -> Writer:
    """A process that has loaded five records and three rejections."""
    made = writer(bench)
    made.load(*(made.record() for _ in range(5)), *(made.rejection() for _ in range(3)))
    return made


def of_keys(process: Writer, *keys: DataKey, fields: Sequence[FieldName] = ()) -> OpenRotation:
    """A rotation that replaces these keys, whatever their state."""
    old = frozenset(key.key_id for key in keys)
    names = tuple(fields) or process.bench.declaration.data_fields
    rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=names, old_keys=old)
    process.bench.open_rotation(rotation)
    return rotation


def old_rows(
    process: Writer, *fields: FieldName, place: EventName | None = None
) -> Sequence[SealedRow]:
    """The rows under the process's keys of these fields, or of all: of the event, or of another place."""
    rotation = of_keys(process, *process.keys, fields=fields)
    at = everything(place or process.bench.event.name)
    page = process.bench.reencrypter.page(rotation, at, 100)
    assert page.is_last
    return page.rows


def values(rows: Sequence[SealedRow]) -> set[tuple[uuid.UUID, FieldName]]:
    """The values that a page has."""
    return {(row.record_id, field) for row in rows for field in row.ciphertexts}


def new(row: SealedRow, keys: Sequence[DataKey], *fields: FieldName) -> Replacement:
    """Other bytes under these keys for these fields, or for all fields that were read."""
    ids = {key.field: key.key_id for key in keys}
    return Replacement(row, {f: ciphertext(ids[f]) for f in fields or row.ciphertexts})


def sealed(process: Writer) -> dict[tuple[uuid.UUID, FieldName], object]:
    """Every stored ciphertext."""
    found: dict[tuple[uuid.UUID, FieldName], object] = {}
    for record_id, row in process.bench.records().items():
        found |= {(record_id, field): row[f"{field}_ciphertext"] for field in process.bench.fields}
    return found | {
        (record_id, QUARANTINE): row[2] for record_id, row in process.bench.rejections().items()
    }


def key_of(process: Writer, field: FieldName) -> DataKey:
    """The process's key of this field."""
    return next(key for key in process.keys if key.field == field)
