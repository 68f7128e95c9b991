"""Read an archive, check its signature and rows, and restore the month from it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vault_etl.archives.manifest import (
    SIGNATURE,
    ArchiveManifest,
    Column,
)
from vault_etl.archives.manifest_members import MANIFEST, MAX_MANIFEST_BYTES
from vault_etl.archives.manifest_note import CheckedManifest, ManifestNote
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, DataError, NotFoundError, VaultEtlError
from vault_etl.crypto.digest import sha256
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.partitions.postgres_archive import NewArchive, PostgresArchives
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveReader
from vault_etl.platform.store_folder import size_and_sha256

if TYPE_CHECKING:
    from vault_etl.archives.parquet_rows import ParquetRowsReader

_HINT: Final = "nothing was changed; take the archive from a backup of it"


class ReadArchive:
    """Reads an archive of this vault. `folder` holds one part at a time."""

    def __init__(
        self,
        store: ArchiveReader,
        rows_reader: Callable[[Sequence[Column]], ParquetRowsReader],
        folder: Path,
        vault_id: uuid.UUID,
        key: AuditKey,
    ) -> None:
        """Take the parts of the reader. `key` is the key that signs archives."""
        self._store = store
        self._rows_reader = rows_reader
        self._folder = folder
        self._vault_id = vault_id
        self._key = key

    def manifest(self, recorded: bytes | None = None) -> CheckedManifest:
        """Return the manifest, after checking its signature and that no file is missing or extra.

        `recorded` is the expected SHA-256 of the manifest. Raises NotFoundError if there is no archive,
        DataError if the archive was changed, and what the store raises.
        """
        names = self._store.names()
        if not names:
            message = f"there is no archive at {self._store.location}"
            raise NotFoundError(
                message,
                hint="was the archive moved? `partitions restore --from` takes another location",
            )
        content = self._content(MANIFEST, names)
        note = ManifestNote.parse(self._content(SIGNATURE, names))
        digest = sha256(content)
        if recorded is not None and digest != recorded:
            message = f"the archive at {self._store.location} is not the recorded one"
            raise DataError(message, hint="its manifest has another SHA-256; nothing was changed")
        note.check(content, self._vault_id, self._key)
        manifest = ArchiveManifest.parse(content)
        if manifest.vault_id != self._vault_id:
            raise _damaged(self._store, "belongs to another vault")
        wanted = {part.name for part in manifest.parts} | {MANIFEST, SIGNATURE}
        if missing := sorted(wanted.difference(names)):
            raise _damaged(self._store, f"has no {', '.join(missing)}")
        if extra := sorted(set(names) - wanted):
            raise _damaged(self._store, f"has files that are not its own: {', '.join(extra)}")
        return CheckedManifest(manifest, digest)

    def pages(self, checked: CheckedManifest, progress: Progress) -> Iterator[bytes]:
        """Yield all rows, a page at a time. Raises DataError for damaged rows, after the last page at the latest."""
        manifest = checked.manifest
        reader = self._rows_reader(manifest.columns)
        read = 0
        for part in manifest.parts:
            path = self._folder / part.name
            self._store.get(part.name, path, part.size)
            try:
                if size_and_sha256(path) != (part.size, part.sha256):
                    raise _damaged(self._store, f"has a {part.name} that was changed")
                for page in reader.read(path):
                    yield page
                    rows = reader.contents().rows
                    progress.advance(rows - read, part=part.name)
                    read = rows
            finally:
                path.unlink(missing_ok=True)
        if reader.contents() != manifest.contents:
            raise _damaged(self._store, "has rows that differ from its manifest")

    def check(self, checked: CheckedManifest, progress: Progress) -> None:
        """Read all rows, and keep none. Raises DataError for damaged rows."""
        for _ in self.pages(checked, progress):
            pass

    def _content(self, name: str, names: Sequence[str]) -> bytes:
        """Return the bytes of the manifest or of its signature."""
        if name not in names:
            raise _damaged(self._store, f"has no {name}")
        path = self._folder / name
        self._store.get(name, path, MAX_MANIFEST_BYTES)
        try:
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


def _damaged(store: ArchiveReader, what: str) -> DataError:
    return DataError(f"the archive at {store.location} {what}", hint=_HINT)


@dataclass(frozen=True, slots=True)
class ArchiveNeeds:
    """Keys and tokens that the rows of an archive need and the vault no longer has."""

    lost_values: int
    """Values under data keys that are destroyed or missing: they cannot be opened any more."""
    lost_keys: int
    stale_tokens: int
    """Rows whose tokens are of a generation that is not active."""


def needs_of(manifest: ArchiveManifest, months: PostgresArchives) -> ArchiveNeeds:
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


def must_be_declared(manifest: ArchiveManifest, declaration: Declaration) -> None:
    """Raise ConfigurationError if the declaration does not have the event of the archive, or one of its columns.

    Columns that the archive does not have were declared later: their values are NULL.
    """
    event = next((each for each in declaration.events if each.name == manifest.event), None)
    declared = {name.raw for name in SqlEvent.of(event).columns} if event else set[str]()
    if event is None:
        message = f"the archive is of the event {manifest.event}, which is not declared"
    elif other := [c.name for c in manifest.columns if c.name not in declared]:
        message = f"the archive has columns that are not declared: {', '.join(other)}"
    else:
        return
    raise ConfigurationError(
        message,
        hint="is VAULT_ETL_SCHEMA_FILE the file of this vault? Values that are not taken any more are retired in it",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMonth:
    """Restores a month for `partitions restore`."""

    months: PostgresArchives
    reader: ReadArchive
    progress: Progress

    def __call__(
        self, request: AuditRequest, checked: CheckedManifest, location: str, *, recorded: bool
    ) -> int:
        """Make the table, on the record; return how many rows were erased again.

        The caller has read the whole archive before; this second reading only compares hashes. After an error
        nothing is changed. Raises what `PostgresArchives.restore` raises.
        """
        archive = NewArchive(location, checked.sha256, checked.contents.rows)
        pages = self.reader.pages(checked, self.progress)
        try:
            return self.months.restore(request, checked.manifest, archive, pages, recorded=recorded)
        except BaseException as error:
            self.months.failed(
                request, "failed" if isinstance(error, VaultEtlError) else "interrupted"
            )
            raise
