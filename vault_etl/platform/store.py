"""Stores of archives and segments: a folder, or a prefix of an S3 bucket; their locations and files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from vault_etl.base.errors import UsageError
from vault_etl.base.text import HIDDEN


class ArchiveReader(Protocol):
    """Reads the files of one archive. `location` is an absolute path, or s3://bucket/prefix."""

    @property
    def location(self) -> str:
        """The location of the files."""

    def names(self) -> Sequence[str]:
        """Return the names of the files, sorted; empty if the archive does not exist.

        Raises DeniedError, UnavailableError or ConfigurationError, as every method of a store does.
        """

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Copy a file to `target`, which must not exist, with mode 0600. Raises NotFoundError if there is no such file.

        Raises DataError if the file has more than `most_bytes`: no more bytes are written, and none are left.
        """


class ArchiveStore(ArchiveReader, Protocol):
    """Writes and deletes the files of one archive."""

    def put(self, name: str, source: Path) -> None:
        """Store a copy of `source` under this name, and verify that it is whole.

        Raises IncompleteError if another file has this name: a file is never overwritten.
        """

    def delete(self, name: str) -> None:
        """Delete the file, if it exists."""


MAX_LOCATION_CHARACTERS: Final = 300
"""The longest location of an archive. The audit log and a table store it."""

S3: Final = "s3://"
_S3: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9!_.*'()-]+)*)/?")
"""The name of a bucket, and a prefix of the characters that are safe in object keys."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/.*")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class ArchiveRoot:
    """The location that `--to` names, for new archives: an absolute path or s3://bucket/prefix, without a final `/`."""

    location: str

    @classmethod
    def parse(cls, text: str, current: str) -> ArchiveRoot:
        """Parse a location. A relative path begins at `current`. Raises UsageError."""
        return cls(parse_location(text, current))

    @classmethod
    def around(cls, archive: str) -> ArchiveRoot:
        """Return the root of an archive."""
        return cls(archive.rpartition("/")[0])

    def archive(self, partition: str, mark: str) -> str:
        """Return the location of an archive of this partition. Raises UsageError if it is too long."""
        location = f"{self.location.rstrip('/')}/{archive_name(partition)}{mark}"
        if len(location) > MAX_LOCATION_CHARACTERS:
            raise _too_long()
        return location


def archive_name(partition: str) -> str:
    """Return the beginning of the names of all archives of a partition."""
    return f"{_NOT_IN_NAMES.sub('_', partition)}-"


def parse_location(text: str, current: str) -> str:
    """Return an absolute path, or s3://bucket/prefix. Raises UsageError for any other text."""
    if HIDDEN.search(text):
        message = "the location has a character that is not shown"
        raise UsageError(message, hint="an absolute path, or s3://bucket/prefix")
    if text.startswith(S3):
        location = f"{S3}{'/'.join(filter(None, bucket_and_prefix(text)))}"
    elif _SCHEME.fullmatch(text):
        message = f"not a location of archives or segments: {text}"
        raise UsageError(message, hint="a folder, or s3://bucket/prefix")
    else:
        location = posixpath.normpath(posixpath.join(current, text))
    if len(location) > MAX_LOCATION_CHARACTERS:
        raise _too_long()
    return location


def bucket_and_prefix(location: str) -> tuple[str, str]:
    """Return the bucket and the prefix of a location in S3. Raises UsageError for any other text."""
    found = _S3.fullmatch(location)
    if found is None:
        message = f"not a location in S3: {location}"
        hint = "for example s3://my-archives/logins: letters, digits, / and !_.*'()-"
        raise UsageError(message, hint=hint)
    return found[1], found[2].removeprefix("/")


def _too_long() -> UsageError:
    message = f"the location of an archive has more than {MAX_LOCATION_CHARACTERS} characters"
    return UsageError(message, hint="use a shorter path")
