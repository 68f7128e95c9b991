"""For `partitions archive`, `drop` and `restore`: where archives are, and what writes and reads them."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault_etl import __version__
from vault_etl.app.archives import archive_at, need_parquet, rows_reader, rows_writer
from vault_etl.app.parts import Parts
from vault_etl.audit.checkpoints import SigningKey
from vault_etl.audit.kms import ARCHIVE_KEY, KmsHeadSigner, KmsPublicKey
from vault_etl.base.errors import ConfigurationError
from vault_etl.partitions.archive.archive_month import ArchiveMonth
from vault_etl.partitions.archive.leftovers import bucket_archives, folder_archives
from vault_etl.partitions.archive.manifest_note import ManifestNote
from vault_etl.partitions.archive.postgres import PostgresArchives
from vault_etl.partitions.archive.read_archive import ReadArchive
from vault_etl.partitions.archive.restore_month import RestoreMonth
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import S3, ArchiveRoot, ArchiveStore, archive_name
from vault_etl.platform.store_folder import size_and_sha256
from vault_etl.records.partitions import Partition


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
        """An archive that is written or read. Raises ConfigurationError if the audit key would sign it."""
        need_parquet()
        months = self.archives()
        vault_id, of_log = months.signer()
        key = self._archive_key(of_log)
        store = self.archive_store(location)
        signer = KmsHeadSigner(self._aws.kms(), key.kms_key_arn, ARCHIVE_KEY)

        def sign(text: str) -> bytes:
            return signer.sign(text.encode()).der

        with tempfile.TemporaryDirectory(prefix="vault-etl-archive-") as temporary:
            folder = Path(temporary)
            reader = ReadArchive(store, rows_reader, size_and_sha256, folder, vault_id, key.key)
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
                    key=key.key,
                    now=self._clock.now,
                    tool=f"vault-etl {__version__}",
                    progress=progress,
                ),
                RestoreMonth(months=months, log=months, reader=reader, progress=progress),
            )

    def _archive_key(self, of_log: Sequence[SigningKey]) -> SigningKey:
        """The key that signs archives. `of_log` sign the audit log: none of them may be it.

        Who archives can rewrite the log, and so must not be able to sign it.
        """
        name, audit_key = self._settings.archive_key, self._settings.audit_key
        if name == audit_key:
            raise _signs_the_log()
        key = KmsPublicKey(self._aws.kms(), name, ARCHIVE_KEY).signing_key()
        if key.kms_key_arn == audit_key or key.key.spki in {each.key.spki for each in of_log}:
            raise _signs_the_log()
        return key


def _signs_the_log() -> ConfigurationError:
    message = f"{ARCHIVE_KEY} is the key that signs the audit log"
    return ConfigurationError(
        message, hint="name a key of its own: who archives can rewrite the log"
    )
