"""Partitions: the months of records, their archives, and the places where archives are.

pyarrow is imported when an archive is read or written: other commands do without.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vault_etl import __version__
from vault_etl.app.parts import Parts
from vault_etl.archives.manifest import Column, SetManifest
from vault_etl.archives.sets import SetStore, SetWriter
from vault_etl.audit.aws import ARCHIVE_KEY, KmsHeadSigner, KmsPublicKey
from vault_etl.audit.signing import SigningKey
from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.document import digest_of
from vault_etl.partitions.archive import ArchiveMonth
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.partitions.postgres_archive import PostgresArchives
from vault_etl.partitions.restore import ReadArchive, RestoreMonth
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import S3, ArchiveRoot, ArchiveStore, archive_name
from vault_etl.platform.store_folder import FolderArchive, folder_archives
from vault_etl.platform.store_s3 import S3Archive, bucket_archives
from vault_etl.records.months import Partition

if TYPE_CHECKING:
    from vault_etl.archives.parquet_rows import ParquetRowsReader, ParquetRowsWriter


TOOL: Final = f"vault-etl {__version__}"
"""The program that a manifest names."""


def partitions(parts: Parts, wait_s: float = 60.0) -> PostgresPartitions:
    """The months of records. A detach waits up to `wait_s` seconds for other transactions."""
    return PostgresPartitions(parts.database, wait_s)


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one set, and a private folder for one file at a time."""

    store: ArchiveStore
    reader: SetStore
    writer: SetWriter
    folder: Path


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """The operations on an archive."""

    reader: ReadArchive
    archive: ArchiveMonth
    restore: RestoreMonth


def archives(parts: Parts) -> PostgresArchives:
    """The archives that the database has on record."""
    return PostgresArchives(parts.database)


def archive_store(parts: Parts, location: str) -> ArchiveStore:
    """The files of the archive at a location. Raises UsageError for a location of another kind."""
    return archive_at(location, lambda: parts.aws)


def new_archive(root: ArchiveRoot, partition: str) -> str:
    """A location for a new archive."""
    return root.archive(partition, secrets.token_hex(4))


def leftovers(parts: Parts, root: ArchiveRoot, partition: Partition) -> Sequence[str]:
    """The locations of archives of this month in `root` that are not on record in this database."""
    recorded = partition.archive and partition.archive.location
    prefix = archive_name(partition.name)
    if root.location.startswith(S3):
        found = bucket_archives(parts.aws.s3(), root.location, prefix)
    else:
        found = folder_archives(Path(root.location), prefix)
    return [location for location in found if location != recorded]


@contextlib.contextmanager
def open_archive(parts: Parts, location: str, progress: Progress) -> Iterator[OpenArchive]:
    """Open an archive to write or read it. Raises ConfigurationError if the audit key would sign it."""
    need_parquet()
    months = archives(parts)
    vault_id, of_log = months.signer()
    with set_place(parts, location, archive_key(parts, of_log)) as place:
        reader = ReadArchive(place.reader, rows_reader, marks_of, vault_id)
        yield OpenArchive(
            reader,
            ArchiveMonth(
                months=months,
                sets=place.writer,
                reader=reader,
                writer=rows_writer,
                marks=marks_of,
                folder=place.folder,
                vault_id=vault_id,
                declaration_sha256=digest_of(parts.declaration),
                now=parts.clock.now,
                tool=TOOL,
                progress=progress,
            ),
            RestoreMonth(months=months, reader=reader, progress=progress),
        )


@contextlib.contextmanager
def set_place(parts: Parts, location: str, key: SigningKey) -> Iterator[Place]:
    """Open the place of a set whose manifests this key signs."""
    store = archive_store(parts, location)
    signer = KmsHeadSigner(parts.aws.kms(), key.kms_key_arn, ARCHIVE_KEY)

    def sign(text: str) -> bytes:
        return signer.sign(text.encode()).der

    with tempfile.TemporaryDirectory(prefix="vault-etl-set-") as temporary:
        folder = Path(temporary)
        yield Place(
            store,
            SetStore(store, folder, key.key),
            SetWriter(store, folder, sign, key.key),
            folder,
        )


def archive_key(parts: Parts, of_log: Sequence[SigningKey] = ()) -> SigningKey:
    """The key that signs manifests, which must not be one of the keys that sign the audit log (`of_log`).

    A login that archives can rewrite the log, and so must not be able to sign it. Raises ConfigurationError.
    """
    name, audit_key = parts.settings.archive_key, parts.settings.audit_key
    if name == audit_key:
        raise _signs_the_log()
    key = KmsPublicKey(parts.aws.kms(), name, ARCHIVE_KEY).signing_key()
    if key.kms_key_arn == audit_key or key.key.spki in {each.key.spki for each in of_log}:
        raise _signs_the_log()
    return key


def _signs_the_log() -> ConfigurationError:
    message = f"{ARCHIVE_KEY} is the key that signs the audit log"
    return ConfigurationError(
        message, hint="name another key: a login that archives can rewrite the log"
    )


def archive_at(location: str, aws: Callable[[], AwsClients]) -> ArchiveStore:
    """The archive at an absolute path, or at s3://bucket/prefix. Raises UsageError for another kind of location."""
    if location.startswith("s3://"):
        return S3Archive(aws().s3(), location)
    return FolderArchive(Path(location))


def need_parquet() -> None:
    """Raise ConfigurationError if pyarrow, which reads and writes archives, is not installed."""
    try:
        import vault_etl.archives.parquet_rows  # noqa: F401, PLC0415 - other commands do without
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        raise ConfigurationError(
            "archives need the package pyarrow, which is not installed",
            hint='pip install "vault-etl[arrow]", or from requirements/arrow.txt',
        ) from None


def rows_writer(
    columns: Sequence[Column], folder: Path, marks: Mapping[str, str]
) -> ParquetRowsWriter:
    """A writer of the rows of a month into files of `folder`. Raises ConfigurationError without pyarrow."""
    need_parquet()
    from vault_etl.archives.parquet_rows import ParquetRowsWriter  # noqa: PLC0415

    return ParquetRowsWriter(columns, folder, marks)


def rows_reader(columns: Sequence[Column], marks: Mapping[str, str]) -> ParquetRowsReader:
    """A reader of the rows in an archive's parts. Raises ConfigurationError without pyarrow."""
    need_parquet()
    from vault_etl.archives.parquet_rows import ParquetRowsReader  # noqa: PLC0415

    return ParquetRowsReader(columns, marks)


def marks_of(manifest: SetManifest) -> Mapping[str, str]:
    """The marks in the parts of a set. Raises ConfigurationError without pyarrow."""
    need_parquet()
    from vault_etl.archives.parquet_parts import set_marks  # noqa: PLC0415

    return set_marks(
        manifest.vault_id, manifest.set_id, manifest.event, manifest.declaration_sha256
    )
