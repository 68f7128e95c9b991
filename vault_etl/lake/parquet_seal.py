"""Parts of a set while it is sealed: rows in memory, then a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from typing_extensions import override

from vault_etl.archives.manifest import Part
from vault_etl.archives.parquet_layout import schema_of_set
from vault_etl.archives.parquet_parts import (
    ValueCounts,
    read_part,
    write_part,
)
from vault_etl.crypto.sealing import Sealer
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import KeyRing
from vault_etl.lake.parquet_batches import BatchSealer
from vault_etl.lake.seal import OpenPart, Row, SealedPart
from vault_etl.platform.store_folder import size_and_sha256
from vault_etl.records.sealing import seals_of

Batch = Any
"""A batch of pyarrow, which has no types of its own."""


class LeasedSealer:
    """Seals events of one declared event under data keys of this process, and with the active token keys."""

    def __init__(self, event: DeclaredEvent, ring: KeyRing, leases: DataKeyLeases) -> None:
        self._event = event
        self._ring = ring
        self._leases = leases

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Return the batch of these records. Raises the errors of KMS and of the store of keys."""
        seals = seals_of(event for _, event in rows)
        keys = [self._leases.data_key(field, values) for field, values in seals.items()]
        active, _ = self._ring.tokenizers()
        return BatchSealer(self._event, Sealer(keys), active).seal(rows)


class PartOfRows(OpenPart):
    """Sealed rows of a part, in memory: twice its size while it is written, since its rows are sorted."""

    def __init__(self, seal: Callable[[Sequence[Row]], Batch], marks: Mapping[str, str]) -> None:
        self._seal = seal
        self._marks = marks
        self._batches: list[Batch] = []
        self._size = 0

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def add(self, rows: Sequence[Row]) -> None:
        batch = self._seal(rows)
        self._batches.append(batch)
        self._size += batch.nbytes

    @override
    def end(self, path: Path) -> SealedPart:
        rows = pa.Table.from_batches(self._batches)
        self._batches = []
        counts = ValueCounts()
        counts.add(rows)
        written = write_part(path, rows, self._marks)
        return SealedPart(written.part, counts.keys(), counts.generations())


def sealed_part(path: Path, event: DeclaredEvent, marks: Mapping[str, str]) -> SealedPart:
    """Return what a part of a killed run holds. Raises DataError for a file that is not a part of this set."""
    counts = ValueCounts()
    for batch in read_part(path, schema_of_set(event), marks):
        counts.add(batch)
    size, digest = size_and_sha256(path)
    part = Part(path.name, counts.rows, size, digest)
    return SealedPart(part, counts.keys(), counts.generations())
