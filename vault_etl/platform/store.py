"""Where the files of one archive are: a folder, or a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class ArchiveReader(Protocol):
    """Reads the files of one archive. `location` is an absolute path, or s3://bucket/prefix."""

    @property
    def location(self) -> str:
        """Where they are."""

    def names(self) -> Sequence[str]:
        """The names of its files, sorted; empty if there is no such archive.

        Raises DeniedError, UnavailableError or ConfigurationError, as all of these do.
        """

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Copy a file to `target`, which must not be there, mode 0600. Raises NotFoundError without it.

        Raises DataError for one of more than `most_bytes`: no more than these are written, and none are left.
        """


class ArchiveStore(ArchiveReader, Protocol):
    """May write and delete as well."""

    def put(self, name: str, source: Path) -> None:
        """Copy `source` there, under this name, and be sure that it is stored whole.

        Raises IncompleteError if another file has this name: none is ever written over.
        """

    def delete(self, name: str) -> None:
        """Delete the file, if it is there."""
