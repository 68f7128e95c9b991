"""Archive a detached month: write its rows, read them back, and record the archive."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import (
    NO_CONTENTS,
    Column,
    Contents,
    ManifestMonth,
    Part,
    SetManifest,
)
from vault_etl.archives.sets import CurrentSet, SetWriter, delete_set
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import VaultEtlError
from vault_etl.partitions.postgres_archive import NewArchive, PostgresArchives
from vault_etl.partitions.restore import ReadArchive
from vault_etl.platform.clock import Progress
from vault_etl.records.months import Partition

if TYPE_CHECKING:
    from vault_etl.archives.parquet_parts import WrittenPart
    from vault_etl.archives.parquet_rows import ParquetRowsWriter


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
    sets: SetWriter
    reader: ReadArchive
    writer: Callable[[Sequence[Column], Path, Mapping[str, str]], ParquetRowsWriter]
    marks: Callable[[SetManifest], Mapping[str, str]]
    folder: Path
    vault_id: uuid.UUID
    declaration_sha256: bytes
    now: Callable[[], dt.datetime]
    tool: str
    progress: Progress

    def __call__(self, request: AuditRequest, partition: Partition) -> Archived:
        """Archive a month of the vault.

        On success the archive was read back, is equal to the rows of the table, and is recorded. After an error
        nothing is recorded, and the files are deleted as far as possible. Raises IncompleteError if rows were
        changed meanwhile; DataError if the archive reads back differently.
        """
        version = self.months.begin(request, partition)
        try:
            current = self._write(partition)
            self.reader.check(current, self.progress)
            contents = current.manifest.contents
            archive = NewArchive(self.sets.store.location, current.sha256, contents.rows)
        except BaseException as error:
            self._give_up(request, error)
            raise
        return self._record(request, partition, version, archive, contents)

    def _write(self, partition: Partition) -> CurrentSet:
        parts: list[Part] = []
        with self.months.rows(partition) as month:
            manifest = SetManifest(
                vault_id=self.vault_id,
                set_id=uuid.uuid4(),
                version=1,
                event=partition.event,
                declaration_sha256=self.declaration_sha256,
                month=ManifestMonth(partition.name, partition.first, partition.until),
                columns=month.columns,
                parts=(),
                contents=NO_CONTENTS,
                keys_sha256=b"",
                made_at=self.now(),
                tool=self.tool,
            )
            writer = self.writer(month.columns, self.folder, self.marks(manifest))
            written = 0
            with contextlib.closing(writer):
                for page in month.pages:
                    self._put(writer.add(page), parts)
                    rows = writer.contents().rows
                    self.progress.advance(rows - written, step="writing")
                    written = rows
                self._put(writer.end(), parts)
        contents = writer.contents()
        keys = KeysFile.of(self.months.keys(contents))
        whole = dataclasses.replace(manifest, parts=tuple(parts), contents=contents)
        return self.reader.manifest(self.sets.commit(whole, keys).sha256)

    def _put(self, finished: Iterable[WrittenPart], parts: list[Part]) -> None:
        for each in finished:
            self.sets.put(each.part.name, each.path)
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
            delete_set(self.sets.store)
        self.months.failed(request, "failed" if isinstance(error, VaultEtlError) else "interrupted")
