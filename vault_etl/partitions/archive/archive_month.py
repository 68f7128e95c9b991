"""Write the rows of a detached month to an archive, read it back, and record it."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.crypto.digest import sha256
from vault_etl.partitions.archive.manifest import (
    MANIFEST,
    SIGNATURE,
    Column,
    Contents,
    Manifest,
    Part,
)
from vault_etl.partitions.archive.manifest_note import ManifestNote
from vault_etl.partitions.archive.months import ArchivedMonths, CheckedManifest, NewArchive
from vault_etl.partitions.archive.read_archive import ReadArchive
from vault_etl.partitions.archive.rows import RowsWriter, WrittenPart
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveStore
from vault_etl.records.partitions import Partition

OURS: Final = re.compile(r"part-[0-9]{5,}\.parquet|manifest\.(json|sig)")
"""The names of an archive's files."""

Sign = Callable[[str], bytes]
"""The signature of a text, in DER."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What was archived, and where the archive before it was, if there was one."""

    archive: NewArchive
    contents: Contents
    replaced: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMonth:
    """`partitions archive`. `folder` takes one part at a time."""

    months: ArchivedMonths
    store: ArchiveStore
    reader: ReadArchive
    writer: Callable[[Sequence[Column], Path, str], RowsWriter]
    folder: Path
    sign: Sign
    key: AuditKey
    """Whose signature that is. What is read back is checked with it."""
    now: Callable[[], dt.datetime]
    tool: str
    progress: Progress

    def __call__(self, request: AuditRequest, partition: Partition, note: ManifestNote) -> Archived:
        """Archive a month; `note` says of which vault.

        Without an error the archive was read back, is what was read from the table, and is on the
        record. With one, nothing is recorded, and what was written is deleted as far as it can be.
        Raises IncompleteError if rows were changed meanwhile; DataError if it reads back otherwise.
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
        manifest = Manifest(
            vault_id=note.vault_id,
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
            # An answer that was lost may have been that it is on the record.
            if self.months.recorded(partition) != archive.manifest_sha256:
                self._give_up(request, error)
            raise
        return Archived(archive, contents, replaced)

    def _give_up(self, request: AuditRequest, error: BaseException) -> None:
        with contextlib.suppress(VaultEtlError):
            delete_archive(self.store)
        self.months.failed(request, "failed" if isinstance(error, VaultEtlError) else "interrupted")


def delete_archive(store: ArchiveStore) -> None:
    """Delete the files of an archive, the manifest last: a run after an interrupted one goes on.

    Raises IncompleteError if there are others beside them, and what the store raises.
    """
    names: Sequence[str] = [name for name in store.names() if OURS.fullmatch(name)]
    for name in sorted(names, key=lambda each: (each in {MANIFEST, SIGNATURE}, each)):
        store.delete(name)
    if left := store.names():
        message = f"there are files of others at {store.location}: {', '.join(left)[:200]}"
        raise IncompleteError(message, hint="look at them, and delete them by hand")
