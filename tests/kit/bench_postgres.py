"""The vault of a contract suite, in Postgres."""

from __future__ import annotations

import datetime as dt
import uuid

from typing_extensions import override

from tests.kit.bench import Bench, Rejected
from tests.kit.declarations import DEFAULT
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import stored_key
from tests.kit.stored_rows import Row, personal_columns, plain_columns
from tests.kit.swaps import open_data_rotation
from tests.kit.vault import Vault
from vault_etl.audit.log import AuditLog
from vault_etl.audit.postgres import (
    PostgresAuditLog,
    PostgresAuditReader,
)
from vault_etl.crypto.fields import QUARANTINE, EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.declaration.model import Declaration
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.keys.age import KeyAges
from vault_etl.keys.make import NewKey
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres import Database
from vault_etl.quarantine.postgres import (
    PostgresQuarantineDiscarder,
    PostgresQuarantineMover,
    PostgresQuarantineReader,
)
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.reveal.postgres import PostgresDisclosedValues
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder
from vault_etl.reveal.postgres_find import PostgresRecordFinder
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill, PostgresTokenComparer
from vault_etl.rotation.ranges import OpenRotation, Range


class _RunsClaims(PostgresRangeClaims):
    """Claims of a run, which has its intent before the run claims anything."""

    def __init__(self, database: Database, audit: AuditLog, declaration: Declaration) -> None:
        self._audit = audit
        self._run = rotate_request(*declaration.data_fields)
        self._has_begun = False
        super().__init__(database, self._run.request_id)

    @override
    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        if not self._has_begun:
            self._audit.intend(self._run)
            self._has_begun = True
        return super().claim(rotation_id, claim)


class PostgresBench(Bench):
    """A bench in Postgres, each adapter under the role that uses the adapter."""

    def __init__(self, vault: Vault, declaration: Declaration = DEFAULT) -> None:
        self._vault = vault
        self.declaration = declaration
        self._databases: dict[str, Database] = {}
        self.loader = PostgresRecordLoader(self._database("ingest"), declaration)
        self.data_keys = PostgresKeyStore(self._database("ingest"))
        self.keys = PostgresKeyStore(self._database("re-encrypt"))
        self.reencrypter = PostgresReencrypter(self._database("re-encrypt"), declaration)
        self.audit = PostgresAuditLog(self._database("reveal"))
        self.others_audit = PostgresAuditLog(self._database("re-encrypt"))
        self.disclosed = PostgresDisclosedValues(self._database("reveal"))
        self.reader = PostgresAuditReader(self._database("audit"))
        self.quarantine = PostgresQuarantineReader(self._database("reveal"))
        self.mover = PostgresQuarantineMover(self._database("re-encrypt"), declaration)
        self.discarder = PostgresQuarantineDiscarder(self._database("erase"))
        self.finder = PostgresRecordFinder(self._database("reveal"))
        self.duplicates = PostgresDuplicateFinder(self._database("analyst"), declaration)
        self.eraser = PostgresEraser(self._database("erase"), declaration)
        self.rotations = PostgresRotationReader(self._database("rotate"))
        self.data_rotations = PostgresDataRotations(self._database("re-encrypt"), declaration)
        self.token_rotations = PostgresTokenRotations(self._database("re-encrypt"), declaration)
        self.claims = _RunsClaims(self._database("re-encrypt"), self.others_audit, declaration)
        self.backfill = PostgresTokenBackfill(self._database("re-encrypt"), declaration)
        self.comparer = self.named = PostgresTokenComparer(
            self._database("re-encrypt"), declaration
        )
        self.cut_over = PostgresTokenCutOver(self._database("re-encrypt"), declaration)

    def close(self) -> None:
        """Close every connection."""
        for database in self._databases.values():
            database.close()

    @override
    def now(self) -> dt.datetime:
        ((now,),) = self._vault.sql("SELECT now()")
        assert isinstance(now, dt.datetime)
        return now

    @override
    def pending(self, keys: list[NewKey]) -> None:
        for key in keys:
            self._vault.sql(
                "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state,"
                " kms_key_arn, wrapped_key, fingerprint)"
                " VALUES (%s, 'token', %s, %s, 'pending', %s, %s, %s)",
                key.key_id,
                key.field,
                key.generation,
                key.kms_key_arn,
                key.wrapped_key,
                key.fingerprint,
            )

    @override
    def grow_older(self, by: dt.timedelta) -> None:
        """Move the dates back, with the trigger that guards a key's date switched off."""
        self._vault.grow_older(by)

    @override
    def keys_of(self, role: str) -> KeyAges:
        return PostgresKeyStore(self._database(role))

    @override
    def records(self) -> dict[uuid.UUID, Row]:
        names = (*plain_columns(self.event), *personal_columns(self.event))
        rows = self._rows(f"SELECT record_id, {', '.join(names)} FROM {self._table}")  # noqa: S608
        return {record_id: dict(zip(names, row, strict=True)) for record_id, row in rows.items()}

    @override
    def rejections(self) -> dict[uuid.UUID, Rejected]:
        return self._rows(
            "SELECT record_id, reason_code, path, body_ciphertext FROM vault_etl.quarantine"
        )

    @override
    def erase(self, record_id: uuid.UUID, field: FieldName) -> None:
        if field == QUARANTINE:
            self._vault.sql(
                "UPDATE vault_etl.quarantine SET body_ciphertext = NULL WHERE record_id = %s",
                record_id,
            )
            return
        self._vault.sql(
            f"UPDATE {self._table} SET masked_{field} = NULL, {field}_ciphertext = NULL"  # noqa: S608 - a name of ours
            " WHERE record_id = %s",
            record_id,
        )

    @override
    def destroy(self, key_id: int) -> None:
        self._vault.sql(
            "UPDATE vault_etl.data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s",
            key_id,
        )

    @override
    def change_token(
        self,
        record_id: uuid.UUID,
        field: FieldName,
        token: uuid.UUID | None,
        *,
        is_next: bool = False,
    ) -> None:
        column = f"next_masked_{field}" if is_next else f"masked_{field}"
        self._vault.sql(
            f"UPDATE {self._table} SET {column} = %s WHERE record_id = %s",  # noqa: S608
            token,
            record_id,
        )

    @override
    def open_rotation(self, rotation: OpenRotation) -> None:
        open_data_rotation(self._vault.sql, rotation)

    @override
    def plant(self, record_id: uuid.UUID, field: FieldName, sealed: bytes) -> None:
        table, column = self._table, f"{field}_ciphertext"
        if field == QUARANTINE:
            table, column = "vault_etl.quarantine", "body_ciphertext"
        self._vault.sql(
            f"UPDATE {table} SET {column} = %s WHERE record_id = %s",  # noqa: S608
            sealed,
            record_id,
        )

    @override
    def new_key(self, field: FieldName) -> DataKey:
        return stored_key(PostgresKeyStore(self._database("re-encrypt")), field)

    @override
    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        rows = self._vault.sql(
            "SELECT done, place, first, last, after FROM vault_etl.rotation_ranges"
            " WHERE rotation_id = %s ORDER BY place, first",
            rotation_id,
        )
        return [(Range(EventName(place), *rest), done) for done, place, *rest in rows]

    @override
    def pass_lease(self, seconds: float) -> None:
        """Move the leases alone back: the clock is the server's."""
        self._vault.sql(
            "UPDATE vault_etl.rotation_ranges SET claimed_until = claimed_until - make_interval(secs => %s)",
            seconds,
        )

    @property
    def _table(self) -> str:
        return f"vault_etl.{self.event.name}"

    def _rows(self, statement: str) -> dict[uuid.UUID, Rejected]:
        return {
            row[0]: tuple(bytes(v) if isinstance(v, memoryview) else v for v in row[1:])
            for row in self._vault.sql(statement)
        }

    def _database(self, role: str) -> Database:
        """The connection that all adapters of a role share, as in a command."""
        if role not in self._databases:
            self._databases[role] = Database(self._vault.database_url(role))
        return self._databases[role]
