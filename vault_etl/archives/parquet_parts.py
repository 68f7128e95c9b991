"""Parts of a set: rows sorted by record id, with the marks of their set (docs/formats.md, Set)."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vault_etl.archives.manifest import (
    FORMAT_VERSION,
    GenerationCount,
    KeyCount,
    Part,
)
from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import EventName
from vault_etl.platform.store_folder import size_and_sha256

RECORD_ID: Final = "record_id"
GROUP_ROWS: Final = 10_000
"""Rows of a row group: a reader holds one at a time, a few MB."""

CIPHERTEXT: Final = "_ciphertext"
_KEY_ID: Final = (1, 5)
"""First and last+1 byte of the key id in a ciphertext; byte 0 is the format."""
_GENERATIONS: Final = ("token_generation", "next_token_generation")

Rows = Any
"""A batch or a table of pyarrow, which has no types of its own."""


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A complete part, and its file. The caller deletes the file."""

    part: Part
    path: Path


def set_marks(
    vault_id: uuid.UUID, set_id: uuid.UUID, event: EventName, declaration_sha256: bytes
) -> Mapping[str, str]:
    """Return what the file metadata of each part of a set says."""
    return {
        "vault-etl.format_version": str(FORMAT_VERSION),
        "vault-etl.vault_id": str(vault_id),
        "vault-etl.set_id": str(set_id),
        "vault-etl.event": event,
        "vault-etl.declaration_sha256": declaration_sha256.hex(),
    }


def write_part(path: Path, rows: Rows, marks: Mapping[str, str]) -> WrittenPart:
    """Write a table, sorted by record id, into a new file of mode 0600. Raises OSError if the file exists.

    A file that could not be finished is deleted.
    """
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    ids = table[RECORD_ID].combine_chunks()
    order = pc.sort_indices(getattr(ids, "storage", ids))
    groups = (
        table.take(order[start : start + GROUP_ROWS]) for start in range(0, len(table), GROUP_ROWS)
    )
    return write_groups(path, table.schema, groups, marks)


def write_groups(
    path: Path, schema: Rows, groups: Iterable[Rows], marks: Mapping[str, str]
) -> WrittenPart:
    """Write row groups, each a batch or a table, as they come: one is in memory. Raises as `write_part` does."""
    part = PartFile(path, schema, marks)
    try:
        for rows in groups:
            part.write(rows)
        return part.end()
    except BaseException:
        part.abandon()
        raise


class PartFile:
    """A new file of mode 0600 for the rows of a part. Raises OSError if the file exists."""

    def __init__(self, path: Path, schema: Rows, marks: Mapping[str, str]) -> None:
        self._path = path
        self.rows = 0
        """The rows written so far."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb")
        self._writer = part_writer(self._file, schema)
        try:
            self._writer.add_key_value_metadata(dict(marks))
        except BaseException:
            self.abandon()
            raise

    @property
    def size(self) -> int:
        """The bytes written so far, without the footer of the file."""
        return self._file.tell()

    def write(self, rows: Rows) -> None:
        """Add a batch or a table as a row group."""
        self._writer.write(rows, row_group_size=len(rows))
        self.rows += len(rows)

    def end(self) -> WrittenPart:
        """Write the footer, close the file, and return the part."""
        self._writer.close()
        self._file.close()
        size, digest = size_and_sha256(self._path)
        return WrittenPart(Part(self._path.name, self.rows, size, digest), self._path)

    def abandon(self) -> None:
        """Close and delete the file."""
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.close()
        self._path.unlink(missing_ok=True)


def marks_of(path: Path) -> Mapping[str, str]:
    """Return the marks in the file metadata of a part. Raises DataError for a file that is not Parquet."""
    try:
        found = pq.read_metadata(path).metadata or {}
        texts = {name.decode(): value.decode() for name, value in found.items()}
    except (pa.ArrowException, OSError, ValueError):
        raise no_part(path) from None
    return {name: value for name, value in texts.items() if name.startswith("vault-etl.")}


def read_part(path: Path, schema: Rows, marks: Mapping[str, str]) -> Iterator[Rows]:
    """Yield the batches of a part of this schema and with these marks, one for each row group.

    Raises DataError for another file.
    """
    must_be_part(path, schema, marks)
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).combine_chunks().to_batches()
    except (pa.ArrowException, OSError, ValueError):
        raise no_part(path) from None


def must_be_part(path: Path, schema: Rows, marks: Mapping[str, str]) -> None:
    """Raise DataError for a file that does not have this schema and these marks."""
    is_of_set = marks.items() <= marks_of(path).items()
    try:
        if not (is_of_set and pq.read_schema(path).equals(schema)):
            raise no_part(path)
    except (pa.ArrowException, OSError, ValueError):
        raise no_part(path) from None


def no_part(path: Path) -> DataError:
    """Return the error for a file that is not a part of its set."""
    message = f"{path.name} is not a part of this set"
    return DataError(message, hint="the set was changed: take it from a backup")


class ValueCounts:
    """Counts the values under each data key, and the rows of each generation of tokens."""

    def __init__(self) -> None:
        self.rows = 0
        self._keys: Counter[tuple[str, int]] = Counter()
        self._generations: Counter[int] = Counter()

    def add(self, rows: Rows) -> None:
        """Count the rows of a batch or a table."""
        self.rows += len(rows)
        for column in rows.schema.names:
            if column.endswith(CIPHERTEXT):
                name = column.removesuffix(CIPHERTEXT)
                for key_id, values in _counted(pc.binary_slice(rows[column], *_KEY_ID)):
                    self._keys[name, int.from_bytes(key_id, "big")] += values
            elif column in _GENERATIONS:
                for generation, found in _counted(rows[column]):
                    self._generations[generation] += found

    def keys(self) -> tuple[KeyCount, ...]:
        """Return the counts of values, by their names and keys, sorted."""
        return tuple(KeyCount(*key, self._keys[key]) for key in sorted(self._keys))

    def generations(self) -> tuple[GenerationCount, ...]:
        """Return the counts of rows by generation, sorted."""
        return tuple(
            GenerationCount(each, self._generations[each]) for each in sorted(self._generations)
        )


def _counted(values: Rows) -> list[tuple[Any, int]]:
    """Return each value that is not null, and how often it occurs."""
    counts = pc.value_counts(values.drop_null())
    return list(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))


def part_writer(file: Any, schema: Any) -> Any:  # noqa: ANN401 - of pyarrow
    """Return the writer of a part of this schema into an open file."""
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[f.name for f in schema if f.type in _REPEATED],
        write_statistics=[f.name for f in schema if not pa.types.is_binary(f.type)],
        store_schema=False,  # Arrow's own schema, which other readers do not use
    )


_REPEATED: Final = (pa.string(), pa.int16(), pa.date32())
"""Types of columns whose values repeat: Parquet keeps a dictionary of these values."""
