"""Archives of months on Postgres, for the owner: what is read, what is recorded, and what comes back."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import stamina

from vault_etl.audit.checkpoints import SigningKey
from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.audit.postgres_checkpoints import read_signer
from vault_etl.audit.postgres_owner import as_owner, write
from vault_etl.base.errors import ConfigurationError, DataError, IncompleteError, VaultEtlError
from vault_etl.partitions.archive.manifest import Manifest
from vault_etl.partitions.archive.months import MonthRows, NewArchive
from vault_etl.partitions.archive.postgres_rows import columns_of_month, load_month, rows_of_month
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import LockTimeoutError
from vault_etl.platform.resources import blocks
from vault_etl.records.partitions import Partition

_SQL: Final = blocks("partitions/archive/archives.sql")
_PARTITIONS: Final = blocks("partitions/partitions.sql")
_TRIES: Final = 5
"""Each waits two seconds for a lock."""
_NOT_THESE_ROWS: Final = (
    psycopg2.errors.ObjectNotInPrerequisiteState,
    psycopg2.errors.UndefinedTable,
)
"""The month was changed, or its table is somewhere else."""


class PostgresArchives:
    """`ArchivedMonths` and `RestoredMonths`, for a login that may act as the owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, request: AuditRequest, partition: Partition) -> str:
        """See `ArchivedMonths.begin`."""
        with self._owner() as cursor:
            cursor.execute(_SQL["begin"], {"partition": partition.name})
            ((version,),) = cursor.fetchall()
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)
        return str(version)

    @contextlib.contextmanager
    def rows(self, partition: Partition) -> Iterator[MonthRows]:
        """See `ArchivedMonths.rows`."""
        with as_owner(self._database, "archive", frozen=True) as cursor:
            cursor.execute(_SQL["patience"])
            columns = columns_of_month(cursor, partition.name)
            yield MonthRows(columns, rows_of_month(cursor, partition.name, columns))

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def record(
        self, request: AuditRequest, partition: Partition, version: str, archive: NewArchive
    ) -> str | None:
        """See `ArchivedMonths.record`."""
        values = {
            "partition": partition.name,
            "version": version,
            "location": archive.location,
            "manifest_sha256": archive.manifest_sha256,
        }
        with self._owner() as cursor:
            try:
                cursor.execute(_SQL["record"], values)
            except _NOT_THESE_ROWS:
                message = f"{partition.name} was changed while it was archived"
                raise IncompleteError(
                    message,
                    hint="an erasure came in between, or another run of `partitions`: run it again",
                ) from None
            ((replaced,),) = cursor.fetchall()
            text = (
                f"{partition.name} is archived at {archive.location}: rows {archive.rows},"
                f" manifest SHA-256 {archive.manifest_sha256.hex()}"
            )
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)
        return None if replaced is None else str(replaced)

    def recorded(self, partition: Partition) -> bytes | None:
        """See `ArchivedMonths.recorded`."""
        with self._owner() as cursor:
            cursor.execute(_PARTITIONS["list"])
            found = [row[8] for row in cursor.fetchall() if row[1] == partition.first]
        return bytes(found[0]) if found and found[0] is not None else None

    def failed(self, request: AuditRequest, error_code: str) -> None:
        """See `ArchivedMonths.failed`. Without an intent there is no outcome."""
        with contextlib.suppress(VaultEtlError), self._owner() as cursor:
            text = "nothing is recorded, and nothing was changed"
            write(cursor, request, Phase.OUTCOME, Decision.FAILED, text, error_code)

    def intend(self, request: AuditRequest) -> None:
        """Commit the intent of a restore, or of the end of an archive."""
        with self._owner() as cursor:
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def end(self, request: AuditRequest, partition: Partition) -> None:
        """Record that an archived month, whose files are deleted, is dropped."""
        archive = partition.archive
        digest = archive.manifest_sha256 if archive else b""
        with self._owner() as cursor:
            cursor.execute(_SQL["end"], {"partition": partition.name, "manifest_sha256": digest})
            text = f"{partition.name} is dropped, and its archive deleted: manifest SHA-256 {digest.hex()}"
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)

    def restore(
        self,
        request: AuditRequest,
        manifest: Manifest,
        archive: NewArchive,
        pages: Iterable[bytes],
        *,
        recorded: bool,
    ) -> int:
        """See `RestoredMonths.restore`."""
        month = {"partition": manifest.partition, "first": manifest.first, "end": manifest.until}
        end = {
            "location": archive.location,
            "manifest_sha256": archive.manifest_sha256,
            "recorded": recorded,
        }
        with self._owner() as cursor:
            cursor.execute(_SQL["patience"])
            cursor.execute(_SQL["make"], month)
            there = columns_of_month(cursor, manifest.partition)
            if other := [c.name for c in manifest.columns if c not in there]:
                message = f"the archive has columns that the table has not: {', '.join(other)}"
                raise ConfigurationError(
                    message, hint="restore it with the version of vault-etl that made it"
                )
            for page in pages:
                _load(cursor, manifest, page)
            cursor.execute(_SQL["restored"], {**month, **end})
            ((erased,),) = cursor.fetchall()
            text = (
                f"{manifest.partition} is restored: rows {archive.rows}, of them erased meanwhile {erased},"
                f" manifest SHA-256 {archive.manifest_sha256.hex()}"
            )
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)
        return int(erased)

    def signer(self) -> tuple[uuid.UUID, Sequence[SigningKey]]:
        """Which vault this is, and the keys that are registered to sign its log."""
        with self._owner() as cursor:
            return read_signer(cursor)

    def lost_keys(self, key_ids: Sequence[int]) -> Collection[int]:
        """See `RestoredMonths.lost_keys`."""
        with self._owner() as cursor:
            cursor.execute(_SQL["lost_keys"], {"key_ids": list(key_ids)})
            return {key_id for (key_id,) in cursor.fetchall()}

    def active_generation(self) -> int | None:
        """See `RestoredMonths.active_generation`."""
        with self._owner() as cursor:
            cursor.execute(_SQL["active_generation"])
            return next((generation for (generation,) in cursor.fetchall()), None)

    def _owner(self) -> contextlib.AbstractContextManager[psycopg2.extensions.cursor]:
        return as_owner(self._database)


def _load(cursor: psycopg2.extensions.cursor, manifest: Manifest, page: bytes) -> None:
    try:
        load_month(cursor, manifest.partition, manifest.columns, page)
    except psycopg2.IntegrityError:
        message = f"the archive has rows that are not of {manifest.partition}"
        raise DataError(
            message, hint="nothing was changed; take the archive from a backup"
        ) from None
