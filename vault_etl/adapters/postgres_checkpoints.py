"""Checkpoints in Postgres: stored by functions of the owner's, which take no other log's."""

from __future__ import annotations

import functools
import uuid
from typing import Final

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.sql import blocks
from vault_etl.core.audit import AuditRequest
from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Checkpoint, Head
from vault_etl.errors import AuditError, VaultEtlError
from vault_etl.ports.checkpoints import SigningKey

_SQL: Final = blocks("checkpoints.sql")


class PostgresCheckpoints:
    """`CheckpointStore` for every role that signs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def vault_id(self) -> uuid.UUID:
        """See `CheckpointStore.vault_id`."""
        return self._signer[0]

    def expected_key(self) -> SigningKey | None:
        """See `CheckpointStore.expected_key`. Read once: a run signs with one key."""
        return self._signer[1]

    def store(self, checkpoint: Checkpoint) -> None:
        """See `CheckpointStore.store`."""
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["store"],
                {
                    "seq": checkpoint.head.seq,
                    "hash": checkpoint.head.hash,
                    "note": checkpoint.note,
                },
            )

    @functools.cached_property
    def _signer(self) -> tuple[uuid.UUID, SigningKey | None]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["signer"])
            ((vault_id, arn, spki),) = cursor.fetchall()
        if arn is None:
            return vault_id, None
        try:
            return vault_id, SigningKey(arn, AuditKey(bytes(spki)))
        except ValueError:
            message = "the key that is registered to sign the audit log is none"
            raise AuditError(
                message, hint="somebody changed it: `vault-etl audit verify` tells more"
            ) from None


class PostgresKeyRegistry:
    """`KeyRegistry` for the role audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, request: AuditRequest, key: SigningKey) -> Head:
        """See `KeyRegistry.register`."""
        try:
            with self._database.transaction() as cursor:
                cursor.execute(
                    _SQL["register"],
                    {
                        "request_id": request.request_id,
                        "actor": request.actor,
                        "host": request.host,
                        "reason": request.reason,
                        "kms_key_arn": key.kms_key_arn,
                        "public_key": key.key.spki,
                    },
                )
                ((seq, hash_),) = cursor.fetchall()
        except VaultEtlError as error:
            message = f"the audit log could not be written: {error}"
            raise AuditError(message, hint="the key is not registered") from None
        return Head(seq, bytes(hash_))

    def head(self) -> Head:
        """See `KeyRegistry.head`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["head"])
            ((seq, hash_),) = cursor.fetchall()
        return Head(seq, bytes(hash_))
