"""For `partitions archive`, `drop` and `restore`: where archives are, and what writes and reads them."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault_etl import __version__
from vault_etl.adapters.archive_leftovers import bucket_archives, folder_archives
from vault_etl.adapters.aws_kms_sign import KmsHeadSigner
from vault_etl.adapters.file_digest import size_and_sha256
from vault_etl.adapters.postgres_archives import PostgresArchives
from vault_etl.bootstrap.archives import archive_at, need_parquet, rows_reader, rows_writer
from vault_etl.bootstrap.parts import Parts
from vault_etl.core.archive_location import S3, ArchiveRoot, archive_name
from vault_etl.core.manifest_note import ManifestNote
from vault_etl.core.partitions import Partition
from vault_etl.errors import ConfigurationError
from vault_etl.ports.archive_store import ArchiveStore
from vault_etl.ports.checkpoints import SigningKey
from vault_etl.ports.progress import Progress
from vault_etl.services.archive_month import ArchiveMonth
from vault_etl.services.read_archive import ReadArchive
from vault_etl.services.restore_month import RestoreMonth
from vault_etl.services.signed_log import signature_of


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """One archive, and what to do with it."""

    store: ArchiveStore
    reader: ReadArchive
    note: ManifestNote
    """Of this vault, and of no manifest yet."""
    archive: ArchiveMonth
    restore: RestoreMonth


class ArchivesProgram(Parts):
    """What `partitions archive`, `drop` and `restore` need."""

    def archives(self) -> PostgresArchives:
        """What is on the record about archives."""
        return PostgresArchives(self._database)

    def archive_store(self, location: str) -> ArchiveStore:
        """The files of an archive, by its location. Raises UsageError."""
        return archive_at(location, lambda: self._aws)

    def new_archive(self, root: ArchiveRoot, partition: str) -> str:
        """The location of an archive that is not there yet."""
        return root.archive(partition, secrets.token_hex(4))

    def leftovers(self, root: ArchiveRoot, partition: Partition) -> Sequence[str]:
        """Locations of archives of this month in `root` that are not on the record here."""
        recorded = partition.archive and partition.archive.location
        prefix = archive_name(partition.name)
        if root.location.startswith(S3):
            found = bucket_archives(self._aws.s3(), root.location, prefix)
        else:
            found = folder_archives(Path(root.location), prefix)
        return [location for location in found if location != recorded]

    @contextlib.contextmanager
    def open_archive(self, location: str, progress: Progress) -> Iterator[OpenArchive]:
        """An archive that is written or read. Raises ConfigurationError if no key is registered to sign it."""
        need_parquet()
        months = self.archives()
        vault_id, keys = months.signer()
        if not keys:
            message = "no key is registered that signs the audit log, and an archive"
            raise ConfigurationError(
                message, hint="once, with the role audit: `vault-etl audit checkpoint`"
            )
        store = self.archive_store(location)
        signer = KmsHeadSigner(self._aws.kms(), self._settings.audit_key)

        def sign(text: str) -> tuple[SigningKey, bytes]:
            return signature_of(text, signer, keys)

        with tempfile.TemporaryDirectory(prefix="vault-etl-archive-") as temporary:
            folder = Path(temporary)
            reader = ReadArchive(
                store, rows_reader, size_and_sha256, folder, vault_id, [key.key for key in keys]
            )
            yield OpenArchive(
                store,
                reader,
                ManifestNote(vault_id, b""),
                ArchiveMonth(
                    months=months,
                    store=store,
                    reader=reader,
                    writer=rows_writer,
                    folder=folder,
                    sign=sign,
                    now=self._clock.now,
                    tool=f"vault-etl {__version__}",
                    progress=progress,
                ),
                RestoreMonth(months=months, log=months, reader=reader, progress=progress),
            )
