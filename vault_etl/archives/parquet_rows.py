"""The rows of a month in Parquet files, in the order of their record ids (docs/formats.md, Set).

Rows enter and leave as tuples of COPY's binary format, without its header and trailer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from vault_etl.archives.manifest import (
    Column,
    Contents,
    part_name,
)
from vault_etl.archives.parquet_columns import arrow_of, schema_of, values_of
from vault_etl.archives.parquet_parts import (
    PartFile,
    ValueCounts,
    WrittenPart,
    no_part,
    read_part,
)
from vault_etl.audit.entries import MAX_OPENED_ROWS
from vault_etl.base.errors import DataError
from vault_etl.platform.postgres_copy import HEADER, TRAILER, columns_of, tuples_from

FULL_ROWS: Final = MAX_OPENED_ROWS - 100_000
"""A part ends at this number of rows too: one entry of the log is about all rows of a part that is opened."""

PART_BYTES: Final = 64 * 2**20
"""A part ends at this size: one request sends the part to S3, with its SHA-256 as the checksum."""


class ParquetRowsWriter:
    """Writes rows into files of `folder`. The rows of one call of `add` are one row group."""

    def __init__(
        self,
        columns: Sequence[Column],
        folder: Path,
        marks: Mapping[str, str],
        *,
        part_bytes: int = PART_BYTES,
        part_rows: int = FULL_ROWS,
    ) -> None:
        """Take the columns, and the marks in the file metadata of each part (`set_marks`).

        Raises ConfigurationError for a column whose type has no place in Parquet.
        """
        self._columns = tuple(columns)
        self._schema = schema_of(columns)
        self._marks = dict(marks)
        self._folder = folder
        self._part_bytes = part_bytes
        self._part_rows = part_rows
        self._tally = _Tally()
        self._number = 0
        self._part: PartFile | None = None

    def add(self, tuples: bytes) -> Sequence[WrittenPart]:
        """Write whole tuples; return the parts that are complete now: mostly none.

        Raises DataError for a value that no type of Parquet holds.
        """
        if not tuples:
            return []
        try:
            values = columns_of(tuples, len(self._columns))
        except ValueError:
            message = "Postgres sent rows that do not match the columns of the table"
            raise DataError(message, hint="did the table change? Run the command again") from None
        arrays = [arrow_of(c, v) for c, v in zip(self._columns, values, strict=True)]
        rows = pa.record_batch(arrays, schema=self._schema)
        self._tally.add(tuples, rows)
        if self._part is None:
            self._number += 1
            path = self._folder / part_name(self._number)
            self._part = PartFile(path, self._schema, self._marks)
        self._part.write(rows)
        is_full = self._part.size >= self._part_bytes or self._part.rows >= self._part_rows
        return self.end() if is_full else []

    def end(self) -> Sequence[WrittenPart]:
        """Finish the last part, if one is open, and return it."""
        if self._part is None:
            return []
        written, self._part = self._part.end(), None
        return [written]

    def close(self) -> None:
        """Close the file of a part that was not finished, after a failure."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def contents(self) -> Contents:
        """Return the contents of all rows that were added."""
        return self._tally.contents()


class ParquetRowsReader:
    """Reads parts with these columns, in their order, and with these marks."""

    def __init__(self, columns: Sequence[Column], marks: Mapping[str, str]) -> None:
        """Take the columns. Raises ConfigurationError for a column whose type has no place in Parquet."""
        self._columns = tuple(columns)
        self._marks = marks
        self._schema = schema_of(columns)
        self._tally = _Tally()

    def read(self, path: Path) -> Iterator[bytes]:
        """Yield the rows of a part, one row group at a time, as `ParquetRowsWriter.add` takes them.

        Raises DataError for a file that is not a part of a set with these columns.
        """
        for rows in read_part(path, self._schema, self._marks):
            found = zip(self._columns, rows.columns, strict=True)
            try:
                tuples = tuples_from([values_of(*each) for each in found])
            except ValueError:  # a number that Postgres does not write so
                raise no_part(path) from None
            self._tally.add(tuples, rows)
            yield tuples

    def contents(self) -> Contents:
        """Return the contents of all rows that were read."""
        return self._tally.contents()


class _Tally:
    """Counts and hashes rows while they are written or read."""

    def __init__(self) -> None:
        self._counts = ValueCounts()
        self._digest = Hash(SHA256())
        self._digest.update(HEADER)

    def add(self, tuples: bytes, rows: Any) -> None:  # noqa: ANN401 - a batch of pyarrow
        """Add rows, given both as tuples and as a batch."""
        self._digest.update(tuples)
        self._counts.add(rows)

    def contents(self) -> Contents:
        """Return the contents of the rows that were added so far."""
        digest = self._digest.copy()
        digest.update(TRAILER)
        counts = self._counts
        return Contents(counts.rows, digest.finalize(), counts.keys(), counts.generations())
