"""Archives of months on Postgres, for the owner: the rows are read, recorded and restored.

Rows travel in COPY's binary format, in the order of their record ids.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from vault_etl.archives.manifest import Column, Contents, ManifestMonth, SetManifest
from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.audit.postgres_checkpoints import read_signer
from vault_etl.audit.postgres_owner import as_owner, write
from vault_etl.audit.signing import SigningKey
from vault_etl.base.errors import ConfigurationError, DataError, IncompleteError, VaultEtlError
from vault_etl.crypto.keys import StoredKey
from vault_etl.keys.postgres import stored_key
from vault_etl.partitions.postgres_month_rows import columns_of_month, load_month, rows_of_month
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks
from vault_etl.records.months import Partition

_SQL: Final = blocks("partitions/archives.sql")
_PARTITIONS: Final = blocks("partitions/partitions.sql")
_TRIES: Final = 5
"""Each try waits two seconds for a lock."""
_NOT_THESE_ROWS: Final = (
    psycopg2.errors.ObjectNotInPrerequisiteState,
    psycopg2.errors.UndefinedTable,
)
"""Raised if the month was changed, or if its table was attached or dropped."""


Cursor = psycopg2.extensions.cursor


@dataclass(frozen=True, slots=True)
class NewArchive:
    """A complete archive: every part and the signed manifest are stored."""

    location: str
    manifest_sha256: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class MonthRows:
    """The rows of a month in one snapshot, one page of tuples at a time, in the order of their record ids."""

    columns: tuple[Column, ...]
    pages: Iterator[bytes]


class PostgresArchives:
    """Reads detached months, records their archives, and restores them: each change with its entries in the audit log.

    For a login that may act as the owner.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, request: AuditRequest, partition: Partition) -> str:
        """Write the intent, count the month's values, and return the version of its rows.

        A version is never used twice.
        """
        with self._owner() as cursor:
            cursor.execute(_SQL["begin"], {"partition": partition.name})
            ((version,),) = cursor.fetchall()
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)
        return str(version)

    @contextlib.contextmanager
    def rows(self, partition: Partition) -> Iterator[MonthRows]:
        """Read the month in one snapshot. Only a change of the table itself waits for this transaction."""
        with as_owner(self._database, "archive", frozen=True) as cursor:
            cursor.execute(_SQL["patience"])
            columns = columns_of_month(cursor, partition.name)
            yield MonthRows(columns, rows_of_month(cursor, partition.name, columns))

    @retried_for_locks(tries=_TRIES)
    def record(
        self, request: AuditRequest, partition: Partition, version: str, archive: NewArchive
    ) -> str | None:
        """Record an archive that was read back and compared, with the outcome.

        Return the location of the archive that was recorded before, or None. Raises IncompleteError unless the
        rows still have the version of `begin`: then nothing is recorded.
        """
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
                    hint="an erasure or another run of `partitions` came in between: run the command again",
                ) from None
            ((replaced,),) = cursor.fetchall()
            text = (
                f"{partition.name} is archived at {archive.location}: rows {archive.rows},"
                f" manifest SHA-256 {archive.manifest_sha256.hex()}"
            )
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)
        return None if replaced is None else str(replaced)

    def recorded(self, partition: Partition) -> bytes | None:
        """Return the SHA-256 of the manifest that is recorded for this month, or None."""
        with self._owner() as cursor:
            cursor.execute(_PARTITIONS["list"])
            month = partition.event, partition.first
            found = [row[9] for row in cursor.fetchall() if (row[0], row[2]) == month]
        return bytes(found[0]) if found and found[0] is not None else None

    def failed(self, request: AuditRequest, error_code: str) -> None:
        """Write the outcome of an archive or a restore that was not done, if the log can be written.

        Without an intent there is no outcome.
        """
        with contextlib.suppress(VaultEtlError), self._owner() as cursor:
            text = "nothing is recorded, and nothing was changed"
            write(cursor, request, Phase.OUTCOME, Decision.FAILED, text, error_code)

    def intend(self, request: AuditRequest) -> None:
        """Commit the intent of a restore, or of the deletion of an archive."""
        with self._owner() as cursor:
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)

    @retried_for_locks(tries=_TRIES)
    def drop(self, request: AuditRequest, partition: Partition) -> None:
        """Record that an archived month is dropped, after its files were deleted."""
        archive = partition.archive
        digest = archive.manifest_sha256 if archive else b""
        with self._owner() as cursor:
            cursor.execute(_SQL["drop"], {"partition": partition.name, "manifest_sha256": digest})
            text = f"{partition.name} is dropped, and its archive deleted: manifest SHA-256 {digest.hex()}"
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)

    def restore(
        self,
        request: AuditRequest,
        manifest: SetManifest,
        month: ManifestMonth,
        archive: NewArchive,
        pages: Iterable[bytes],
        *,
        recorded: bool,
    ) -> int:
        """Make the table from these rows, on the record, and erase again what was erased since; return how many rows.

        `recorded` says that the archive was on the record; the archive must still be recorded then, because its
        erasures are stored there. All or nothing. Raises DataError for rows that the table refuses, IncompleteError
        if the month is in another state, ConfigurationError for columns that the table does not have.
        """
        partition = month.partition
        place = {
            "event": manifest.event,
            "partition": partition,
            "first": month.first,
            "end": month.until,
        }
        end = {
            "location": archive.location,
            "manifest_sha256": archive.manifest_sha256,
            "recorded": recorded,
        }
        with self._owner() as cursor:
            cursor.execute(_SQL["patience"])
            cursor.execute(_SQL["make"], place)
            there = columns_of_month(cursor, partition)
            if other := [c.name for c in manifest.columns if c not in there]:
                message = (
                    f"the archive has columns that the table does not have: {', '.join(other)}"
                )
                raise ConfigurationError(
                    message, hint="restore the archive with the version of vault-etl that made it"
                )
            for page in pages:
                _load(cursor, partition, manifest.columns, page)
            cursor.execute(_SQL["restored"], {**place, **end})
            ((erased,),) = cursor.fetchall()
            text = (
                f"{partition} is restored: rows {archive.rows}, of them erased meanwhile {erased},"
                f" manifest SHA-256 {archive.manifest_sha256.hex()}"
            )
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)
        return int(erased)

    def signer(self) -> tuple[uuid.UUID, Sequence[SigningKey]]:
        """Return the vault's id, and the keys that are registered to sign its log."""
        with self._owner() as cursor:
            return read_signer(cursor)

    def keys(self, contents: Contents) -> Sequence[StoredKey]:
        """Return the data keys and token keys that these rows need; unknown ones are left out."""
        needs = {
            "key_ids": sorted({key.key_id for key in contents.keys}),
            "generations": [each.generation for each in contents.generations],
        }
        with self._owner() as cursor:
            cursor.execute(_SQL["keys"], needs)
            return [stored_key(row) for row in cursor.fetchall()]

    def lost_keys(self, key_ids: Sequence[int]) -> Collection[int]:
        """Return those of these data keys that open nothing any more: keys destroyed or missing."""
        with self._owner() as cursor:
            cursor.execute(_SQL["lost_keys"], {"key_ids": list(key_ids)})
            return {key_id for (key_id,) in cursor.fetchall()}

    def active_generation(self) -> int | None:
        """Return the active generation of the token keys, or None."""
        with self._owner() as cursor:
            cursor.execute(_SQL["active_generation"])
            return next((generation for (generation,) in cursor.fetchall()), None)

    def _owner(self) -> contextlib.AbstractContextManager[psycopg2.extensions.cursor]:
        return as_owner(self._database)


def _load(cursor: Cursor, partition: str, columns: Sequence[Column], page: bytes) -> None:
    try:
        load_month(cursor, partition, columns, page)
    except psycopg2.IntegrityError:
        message = f"the archive has rows that do not belong to {partition}"
        raise DataError(
            message, hint="nothing was changed; take the archive from a backup"
        ) from None
