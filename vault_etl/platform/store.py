"""Where the files of one archive are: a folder, or a prefix of a bucket."""

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


MAX_LOCATION_CHARACTERS: Final = 300
"""Of an archive. It goes into the audit log, and into the table `closed_months`."""

S3: Final = "s3://"
_S3: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([!-~]*))?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/.*")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class ArchiveRoot:
    """What `--to` names: archives are made in it. An absolute path, or s3://bucket/prefix, without a `/` at its end."""

    location: str

    @classmethod
    def parse(cls, text: str, current: str) -> ArchiveRoot:
        """Read it; `current` is where a relative path begins. Raises UsageError."""
        return cls(parse_location(text, current))

    @classmethod
    def around(cls, archive: str) -> ArchiveRoot:
        """The root in which an archive is."""
        return cls(archive.rpartition("/")[0])

    def archive(self, partition: str, mark: str) -> str:
        """The location of an archive of this partition. Raises UsageError if it is too long."""
        location = f"{self.location.rstrip('/')}/{archive_name(partition)}{mark}"
        if len(location) > MAX_LOCATION_CHARACTERS:
            raise _too_long()
        return location


def archive_name(partition: str) -> str:
    """How the names of all archives of a partition begin."""
    return f"{_NOT_IN_NAMES.sub('_', partition)}-"


def parse_location(text: str, current: str) -> str:
    """An absolute path, or s3://bucket/prefix. Raises UsageError for anything else."""
    if HIDDEN.search(text):
        message = "the location has a character that is not shown"
        raise UsageError(message, hint="an absolute path, or s3://bucket/prefix")
    if text.startswith(S3):
        if not _S3.fullmatch(text) or "//" in text.removeprefix(S3):
            message = f"this is no place for archives or segments: {text}"
            raise UsageError(message, hint="for example s3://my-archives/logins")
        location = text.rstrip("/")
    elif _SCHEME.fullmatch(text):
        message = f"this is no place for archives or segments: {text}"
        raise UsageError(message, hint="a folder, or s3://bucket/prefix")
    else:
        location = posixpath.normpath(posixpath.join(current, text))
    if len(location) > MAX_LOCATION_CHARACTERS:
        raise _too_long()
    return location


def bucket_and_prefix(location: str) -> tuple[str, str]:
    """Of a location in S3: its bucket, and its prefix without a `/` at its end."""
    bucket, _, prefix = location.removeprefix(S3).partition("/")
    return bucket, prefix


def _too_long() -> UsageError:
    message = f"the location of an archive has more than {MAX_LOCATION_CHARACTERS} characters"
    return UsageError(message, hint="take a shorter path")
