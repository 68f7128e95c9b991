"""Rows of a month as files that other programs read, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vault_etl.partitions.archive.manifest import Contents, Part


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is whole, and its file. The caller deletes it."""

    part: Part
    path: Path


class RowsWriter(Protocol):
    """Writes the rows of a month, in the order of their record ids.

    Rows are tuples of COPY's binary format, without its header and trailer.
    """

    def add(self, tuples: bytes) -> Sequence[WrittenPart]:
        """Write whole tuples, and hand over the parts that are finished by it: none, mostly.

        Raises DataError for a value that Parquet's types do not have.
        """

    def end(self) -> Sequence[WrittenPart]:
        """Finish the last part."""

    def contents(self) -> Contents:
        """Of all rows that were added."""

    def close(self) -> None:
        """Let go of a part that was not finished, after a failure."""


class RowsReader(Protocol):
    """Reads parts, in their order."""

    def read(self, path: Path) -> Iterator[bytes]:
        """The rows of a part, some ten thousand at a time, as `RowsWriter.add` takes them.

        Raises DataError for a file that is not such a part.
        """

    def contents(self) -> Contents:
        """Of all rows that were read."""
