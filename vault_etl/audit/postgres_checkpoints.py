"""Checkpoints in Postgres: the owner's functions store them, and refuse another log's."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from typing import Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.audit.checkpoint import Checkpoint, Head, Registration
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.signing import CheckpointStore, KeyRegistry, SigningKey
from vault_etl.base.errors import AuditError, VaultEtlError
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/checkpoints.sql")


class PostgresCheckpoints(CheckpointStore):
    """Checkpoints for every role that signs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def vault_id(self) -> uuid.UUID:
        return self._signer[0]

    @override
    def registered_keys(self) -> Sequence[SigningKey]:
        """Return the registered keys, read once a run."""
        return self._signer[1]

    @override
    def store(self, checkpoint: Checkpoint) -> None:
        (line,) = checkpoint.signatures
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["store"],
                {
                    "seq": checkpoint.head.seq,
                    "hash": checkpoint.head.hash,
                    "key_hash": line.key_hash,
                    "signature": line.signature,
                },
            )

    @functools.cached_property
    def _signer(self) -> tuple[uuid.UUID, Sequence[SigningKey]]:
        with self._database.transaction() as cursor:
            return read_signer(cursor)


def read_signer(cursor: psycopg2.extensions.cursor) -> tuple[uuid.UUID, Sequence[SigningKey]]:
    """Return the vault's id, and the keys that are registered and have proven it, the newest first."""
    cursor.execute(_SQL["signer"])
    rows = cursor.fetchall()
    if not rows:
        message = "the table vault does not name this vault"
        raise AuditError(message, hint="`vault-etl audit verify` tells more")
    vault_id = rows[0][0]
    keys = (_proven(vault_id, note) for _, note in rows if note is not None)
    return vault_id, [key for key in keys if key is not None]


def _proven(vault_id: uuid.UUID, note: str) -> SigningKey | None:
    """Return the key of a registration that proves itself: any login of the role audit can write others."""
    try:
        found = Registration.parse(note)
    except ValueError:
        return None
    return SigningKey(found.kms_key_arn, found.key) if found.holds(vault_id) else None


class PostgresKeyRegistry(KeyRegistry):
    """Registers keys, for the role audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def register(self, request: AuditRequest, registration: Registration) -> Head:
        try:
            seq, hash_ = self._database.call(
                _SQL["register"],
                {
                    "request_id": request.request_id,
                    "actor": request.actor,
                    "host": request.host,
                    "reason": request.reason,
                    "kms_key_arn": registration.kms_key_arn,
                    "public_key": registration.key.spki,
                    "signed_seq": registration.head.seq,
                    "signature": registration.signature,
                },
            )
        except VaultEtlError as error:
            message = f"the audit log could not be written: {error}"
            raise AuditError(message, hint="the key is not registered") from None
        return Head(seq, bytes(hash_))

    @override
    def head(self) -> Head:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["head"])
            ((seq, hash_),) = cursor.fetchall()
        return Head(seq, bytes(hash_))
