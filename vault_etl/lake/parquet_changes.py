"""Parts of a set: opened, sealed again under new keys, or without the values of a person."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vault_etl.archives.manifest import SetManifest
from vault_etl.archives.parquet_columns import schema_of
from vault_etl.archives.parquet_parts import (
    ValueCounts,
    must_be_part,
    no_part,
    read_part,
    set_marks,
    write_groups,
)
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.opening import Opener
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import KeyRing
from vault_etl.lake.parquet_batches import erased, rows_of, seals_in
from vault_etl.lake.parquet_opening import BatchOpener, BatchRotator, OpenedBatch
from vault_etl.lake.rewrite import ChangedPart, Counts

Batch = Any
"""A batch of pyarrow, which has no types of its own."""


MAX_GROUP_ROWS: Final = 100_000
"""The most rows of a row group, which is in memory at once. Writers of sets make groups of 20,000 rows at most."""


@dataclass(frozen=True, slots=True)
class PartReader:
    """Reads parts of one set. A file with other columns or rows, or of another set, is refused with DataError."""

    schema: Batch
    marks: Mapping[str, str]
    rows: Mapping[str, int]
    """The rows of each part, by its name. A rewrite may replace the parts one by one: each is read once."""

    @classmethod
    def of(cls, current: CurrentSet) -> PartReader:
        """Return the reader of the parts of a set."""
        manifest = current.manifest
        rows = {part.name: part.rows for part in manifest.parts}
        return cls(schema_of(manifest.columns), _marks(manifest), rows)

    def check(self, path: Path) -> None:
        """Raise DataError unless the file is of this set and has the rows of its part, in groups that fit in memory."""
        must_be_part(path, self.schema, self.marks)
        found = pq.read_metadata(path)
        groups = [found.row_group(at).num_rows for at in range(found.num_row_groups)]
        if sum(groups) != self.rows[path.name] or max(groups, default=0) > MAX_GROUP_ROWS:
            raise no_part(path)

    def __call__(self, path: Path) -> Iterator[Batch]:
        """Yield the batches of a part, one for each row group."""
        self.check(path)
        return read_part(path, self.schema, self.marks)


@dataclass(frozen=True, slots=True)
class RotationNeed:
    """The keys and the generation under which a part is left as it is."""

    read: PartReader
    active: Collection[int]
    generation: int

    def __call__(self, path: Path) -> bool:
        """Tell whether a part has a value under another key, or a row of another generation."""
        counts = ValueCounts()
        for batch in self.read(path):
            counts.add(batch)
        return any(key.key_id not in self.active for key in counts.keys()) or any(  # noqa: SIM118 - of no mapping
            each.generation != self.generation for each in counts.generations()
        )


@dataclass(frozen=True, slots=True)
class PartOpener:
    """Opens the values of these fields in the parts of a set."""

    read: PartReader
    event: DeclaredEvent
    fields: Collection[FieldName]
    keys: KeyRing

    def __call__(self, opener: Opener, path: Path) -> Iterable[OpenedBatch]:
        """Yield the opened rows of a part. Raises as `BatchOpener.open` does."""
        return map(BatchOpener(self.event, self.fields, opener, self.keys).open, self.read(path))


@dataclass(frozen=True, slots=True)
class PartRotator:
    """Seals the values of a part again, under data keys of this process."""

    read: PartReader
    event: DeclaredEvent
    keys: KeyRing
    leases: DataKeyLeases
    tokenizer: Tokenizer

    def __call__(self, opener: Opener, old: Path, new: Path) -> ChangedPart:
        """Write the new part. Raises as `BatchRotator.rotate` does, and what a lease raises."""

        def change(batch: Batch) -> tuple[Batch, int]:
            seals = seals_in(self.event, batch)
            sealer = Sealer([self.leases.data_key(*each) for each in seals.items()])
            rotator = BatchRotator(self.event, opener, self.keys, sealer, self.tokenizer)
            return rotator.rotate(batch), len(batch)

        return _changed(self.read, change, old, new)


def erased_part(
    read: PartReader,
    event: DeclaredEvent,
    subjects: Collection[str],
    record_ids: Collection[uuid.UUID],
    old: Path,
    new: Path,
) -> ChangedPart:
    """Write a part without the values of these subjects and records. `changed` counts their rows."""
    return _changed(read, lambda batch: erased(event, batch, subjects, record_ids), old, new)


def rows_to_erase(
    read: PartReader,
    event: DeclaredEvent,
    subjects: Collection[str],
    record_ids: Collection[uuid.UUID],
    path: Path,
) -> int:
    """Count the rows of a part that have values of these subjects and records.

    Most parts have none, and only two of their columns are read.
    """
    if not _names(event, subjects, record_ids, path):
        return 0
    return sum(
        pc.sum(rows_of(event, batch, subjects, record_ids)).as_py() or 0 for batch in read(path)
    )


def _names(
    event: DeclaredEvent, subjects: Collection[str], record_ids: Collection[uuid.UUID], path: Path
) -> bool:
    """Tell whether a part has rows of these subjects or records, erased or not. Raises DataError."""
    names, ids = (
        pa.array(list(subjects), pa.string()),
        pa.array([each.bytes for each in record_ids], pa.binary(16)),
    )
    try:
        with pq.ParquetFile(path) as file:
            return any(
                pc.any(pc.is_in(batch[event.subject.name], names)).as_py()
                or pc.any(pc.is_in(batch["record_id"].storage, ids)).as_py()
                for batch in file.iter_batches(columns=["record_id", event.subject.name])
            )
    except (pa.ArrowException, OSError, ValueError, KeyError):
        raise no_part(path) from None


def _changed(
    read: PartReader, change: Callable[[Batch], tuple[Batch, int]], old: Path, new: Path
) -> ChangedPart:
    before, after, changed = ValueCounts(), ValueCounts(), 0

    def batches() -> Iterator[Batch]:
        nonlocal changed
        for batch in read(old):
            made, rows = change(batch)
            before.add(batch)
            after.add(made)
            changed += rows
            yield made

    written = write_groups(new, read.schema, batches(), read.marks)
    return ChangedPart(written, changed, _counts(before), _counts(after))


def _counts(counts: ValueCounts) -> Counts:
    return Counts(counts.keys(), counts.generations())


def _marks(manifest: SetManifest) -> Mapping[str, str]:
    return set_marks(
        manifest.vault_id, manifest.set_id, manifest.event, manifest.declaration_sha256
    )
