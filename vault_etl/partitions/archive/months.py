"""Months that are archived and restored, where their rows and their records are."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.partitions.archive.manifest import Column, Contents, Manifest
from vault_etl.records.partitions import Partition


@dataclass(frozen=True, slots=True)
class MonthRows:
    """The rows of a month in one snapshot, a page of tuples at a time, in the order of their ids."""

    columns: tuple[Column, ...]
    pages: Iterator[bytes]


class ArchivedMonths(Protocol):
    """Reads detached months, and records their archives: each change with its entries in the audit log."""

    def begin(self, request: AuditRequest, partition: Partition) -> str:
        """Write the intent, count the month's values, and return the version of its rows, which never comes again."""

    def rows(self, partition: Partition) -> contextlib.AbstractContextManager[MonthRows]:
        """Read the month. Nothing waits for that but a change of the table itself."""

    def record(
        self, request: AuditRequest, partition: Partition, version: str, archive: NewArchive
    ) -> str | None:
        """Record an archive that was compared, with the outcome; the location of the one before.

        Raises IncompleteError unless the rows have the version of `begin`: nothing is recorded then.
        """

    def recorded(self, partition: Partition) -> bytes | None:
        """The SHA-256 of the manifest that is on the record."""

    def failed(self, request: AuditRequest, error_code: str) -> None:
        """Write the outcome of an archive or a restore that was not done, if it can be written."""


@dataclass(frozen=True, slots=True)
class NewArchive:
    """An archive that is whole."""

    location: str
    manifest_sha256: bytes
    rows: int


class RestoredMonths(Protocol):
    """Makes the tables of months from their archives, and knows what their rows need."""

    def restore(
        self,
        request: AuditRequest,
        manifest: Manifest,
        archive: NewArchive,
        pages: Iterable[bytes],
        *,
        recorded: bool,
    ) -> int:
        """Make the table from these rows, on the record, and erase what was erased; how many rows that were.

        `recorded`: the archive was on the record, and has to be still, since its erasures are there.
        All or nothing. Raises DataError for rows that the table does not take, IncompleteError if the
        month is somewhere else, ConfigurationError for columns that the table has not.
        """

    def lost_keys(self, key_ids: Sequence[int]) -> Collection[int]:
        """Those of these data keys that open nothing any more: destroyed, or not there."""

    def active_generation(self) -> int | None:
        """Of the token keys."""


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """A manifest whose signature holds, and its SHA-256."""

    manifest: Manifest
    sha256: bytes

    @property
    def contents(self) -> Contents:
        """What the rows have to be."""
        return self.manifest.contents

    @property
    def archived_at(self) -> dt.datetime:
        """When it was made, by its own word."""
        return self.manifest.archived_at
