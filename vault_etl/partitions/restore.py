"""Read an archive, check its signature and rows, and restore the month from it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_etl.archives.manifest import Column, ManifestMonth, SetManifest
from vault_etl.archives.sets import CurrentSet, SetStore
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import DataError, VaultEtlError
from vault_etl.partitions.postgres_archive import NewArchive, PostgresArchives
from vault_etl.platform.clock import Progress

if TYPE_CHECKING:
    from vault_etl.archives.parquet_rows import ParquetRowsReader


class ReadArchive:
    """Reads an archive of this vault: a set that is a month."""

    def __init__(
        self,
        sets: SetStore,
        rows_reader: Callable[[Sequence[Column], Mapping[str, str]], ParquetRowsReader],
        marks: Callable[[SetManifest], Mapping[str, str]],
        vault_id: uuid.UUID,
    ) -> None:
        """Take the files of the set, what reads their rows, and the marks of the parts of a manifest."""
        self._sets = sets
        self._rows_reader = rows_reader
        self._marks = marks
        self._vault_id = vault_id

    def manifest(self, recorded: bytes | None = None) -> CurrentSet:
        """Return the manifest with the SHA-256 `recorded`, or the newest one.

        Raises NotFoundError if there is no set, DataError if it was changed, is of another vault, or is no archive
        of a month, and what the store raises.
        """
        current = self._sets.read(recorded)
        if current.manifest.vault_id != self._vault_id:
            message = f"the archive at {self._sets.location} belongs to another vault"
            raise DataError(message, hint="does VAULT_ETL_DATABASE_URL name the right vault?")
        month_of(current.manifest)
        return current

    def pages(self, current: CurrentSet, progress: Progress) -> Iterator[bytes]:
        """Yield all rows, a page at a time. Raises DataError for damaged rows, after the last page at the latest."""
        manifest = current.manifest
        reader = self._rows_reader(manifest.columns, self._marks(manifest))
        read = 0
        for part in manifest.parts:
            with self._sets.part(part) as path:
                for page in reader.read(path):
                    yield page
                    rows = reader.contents().rows
                    progress.advance(rows - read, part=part.name)
                    read = rows
        found = reader.contents()
        if manifest.contents.sha256 is None:
            found = dataclasses.replace(found, sha256=None)
        if found != manifest.contents:
            message = f"the archive at {self._sets.location} has rows that differ from its manifest"
            raise DataError(
                message, hint="nothing was changed; take the archive from a backup of it"
            )

    def check(self, current: CurrentSet, progress: Progress) -> None:
        """Read all rows, and keep none. Raises DataError for damaged rows."""
        for _ in self.pages(current, progress):
            pass


def month_of(manifest: SetManifest) -> ManifestMonth:
    """Return the month that the set is an archive of. Raises DataError for another set."""
    if manifest.month is None:
        message = "the set is no archive of a month"
        raise DataError(message, hint="`vault-etl lake` reads it; nothing was changed")
    return manifest.month


@dataclass(frozen=True, slots=True)
class ArchiveNeeds:
    """Keys and tokens that the rows of an archive need and the vault no longer has."""

    lost_values: int
    """Values under data keys that are destroyed or missing: they cannot be opened any more."""
    lost_keys: int
    stale_tokens: int
    """Rows whose tokens are of a generation that is not active."""


def needs_of(manifest: SetManifest, months: PostgresArchives) -> ArchiveNeeds:
    """Compare the counts of the manifest with the keys of the vault."""
    keys = manifest.contents.keys
    lost = months.lost_keys(sorted({key.key_id for key in keys}))
    active = months.active_generation()
    return ArchiveNeeds(
        lost_values=sum(key.values for key in keys if key.key_id in lost),
        lost_keys=len(lost),
        stale_tokens=sum(
            each.rows for each in manifest.contents.generations if each.generation != active
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMonth:
    """Restores a month for `partitions restore`."""

    months: PostgresArchives
    reader: ReadArchive
    progress: Progress

    def __call__(
        self, request: AuditRequest, current: CurrentSet, location: str, *, recorded: bool
    ) -> int:
        """Make the table, on the record; return how many rows were erased again.

        The caller has read the whole archive before; this second reading only compares hashes. After an error
        nothing is changed. Raises what `PostgresArchives.restore` raises.
        """
        manifest = current.manifest
        archive = NewArchive(location, current.sha256, manifest.contents.rows)
        pages = self.reader.pages(current, self.progress)
        try:
            return self.months.restore(
                request, manifest, month_of(manifest), archive, pages, recorded=recorded
            )
        except BaseException as error:
            self.months.failed(
                request, "failed" if isinstance(error, VaultEtlError) else "interrupted"
            )
            raise
