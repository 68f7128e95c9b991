"""Archive a detached month: write its rows, read them back, and record the archive."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vault_etl.archives.manifest import (
    SIGNATURE,
    ArchiveManifest,
    Column,
    Contents,
    Part,
)
from vault_etl.archives.manifest_members import MANIFEST
from vault_etl.archives.manifest_note import CheckedManifest, ManifestNote
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.crypto.digest import sha256
from vault_etl.partitions.postgres_archive import NewArchive, PostgresArchives
from vault_etl.partitions.restore import ReadArchive
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveStore
from vault_etl.records.months import Partition

if TYPE_CHECKING:
    from vault_etl.archives.parquet_parts import WrittenPart
    from vault_etl.archives.parquet_rows import ParquetRowsWriter

OURS: Final = re.compile(r"part-[0-9]{5,}\.parquet|manifest\.(json|sig)")
"""The names of the files of an archive."""

Sign = Callable[[str], bytes]
"""Signs a text; the signature is in DER."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A recorded archive, and the location of the archive that it replaces, or None."""

    archive: NewArchive
    contents: Contents
    replaced: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMonth:
    """Archives a month for `partitions archive`. `folder` holds one part at a time."""

    months: PostgresArchives
    store: ArchiveStore
    reader: ReadArchive
    writer: Callable[[Sequence[Column], Path, str], ParquetRowsWriter]
    folder: Path
    sign: Sign
    key: AuditKey
    """The key that `sign` uses. The signature is checked with it when the archive is read back."""
    now: Callable[[], dt.datetime]
    tool: str
    progress: Progress

    def __call__(self, request: AuditRequest, partition: Partition, note: ManifestNote) -> Archived:
        """Archive a month of the vault that `note` names.

        On success the archive was read back, is equal to the rows of the table, and is recorded. After an error
        nothing is recorded, and the files are deleted as far as possible. Raises IncompleteError if rows were
        changed meanwhile; DataError if the archive reads back differently.
        """
        version = self.months.begin(request, partition)
        try:
            checked = self._write(partition, note)
            self.reader.check(checked, self.progress)
            archive = NewArchive(self.store.location, checked.sha256, checked.contents.rows)
        except BaseException as error:
            self._give_up(request, error)
            raise
        return self._record(request, partition, version, archive, checked.contents)

    def _write(self, partition: Partition, note: ManifestNote) -> CheckedManifest:
        parts: list[Part] = []
        with self.months.rows(partition) as month:
            writer = self.writer(month.columns, self.folder, partition.name)
            written = 0
            with contextlib.closing(writer):
                for page in month.pages:
                    self._put(writer.add(page), parts)
                    rows = writer.contents().rows
                    self.progress.advance(rows - written, step="writing")
                    written = rows
                self._put(writer.end(), parts)
        manifest = ArchiveManifest(
            vault_id=note.vault_id,
            event=partition.event,
            partition=partition.name,
            first=partition.first,
            until=partition.until,
            columns=month.columns,
            parts=tuple(parts),
            contents=writer.contents(),
            archived_at=self.now(),
            tool=self.tool,
        )
        content = manifest.encode()
        unsigned = ManifestNote(note.vault_id, sha256(content))
        signature = self.sign(unsigned.text)
        for name, text in (
            (MANIFEST, content),
            (SIGNATURE, unsigned.signed(self.key, signature).encode()),
        ):
            path = self.folder / name
            path.write_bytes(text)
            self.store.put(name, path)
            path.unlink()
        checked = self.reader.manifest(unsigned.sha256)
        return CheckedManifest(manifest, checked.sha256)

    def _put(self, finished: Iterable[WrittenPart], parts: list[Part]) -> None:
        for each in finished:
            self.store.put(each.part.name, each.path)
            each.path.unlink()
            parts.append(each.part)

    def _record(
        self,
        request: AuditRequest,
        partition: Partition,
        version: str,
        archive: NewArchive,
        contents: Contents,
    ) -> Archived:
        try:
            replaced = self.months.record(request, partition, version, archive)
        except BaseException as error:
            # The COMMIT may have succeeded although its answer was lost.
            if self.months.recorded(partition) != archive.manifest_sha256:
                self._give_up(request, error)
            raise
        return Archived(archive, contents, replaced)

    def _give_up(self, request: AuditRequest, error: BaseException) -> None:
        with contextlib.suppress(VaultEtlError):
            delete_archive(self.store)
        self.months.failed(request, "failed" if isinstance(error, VaultEtlError) else "interrupted")


def delete_archive(store: ArchiveStore) -> None:
    """Delete the files of an archive, the manifest last, so that a second run continues an interrupted one.

    Raises IncompleteError if other files are left at this location, and what the store raises.
    """
    names: Sequence[str] = [name for name in store.names() if OURS.fullmatch(name)]
    for name in sorted(names, key=lambda each: (each in {MANIFEST, SIGNATURE}, each)):
        store.delete(name)
    if left := store.names():
        message = f"other files are left at {store.location}: {', '.join(left)[:200]}"
        raise IncompleteError(message, hint="inspect them, and delete them by hand")
