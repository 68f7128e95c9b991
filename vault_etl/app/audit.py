"""Audit: the log that commands write, its verification, its segments, its policy and its checkpoints."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterable
from typing import Self

from vault_etl.app.parts import Parts
from vault_etl.audit.aws import KmsHeadSigner, KmsPublicKey
from vault_etl.audit.checkpoint import Checkpoint
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditReader
from vault_etl.audit.postgres import PostgresAuditLog, PostgresAuditReader
from vault_etl.audit.postgres_checkpoints import PostgresKeyRegistry
from vault_etl.audit.postgres_owner import PostgresPolicy
from vault_etl.audit.signing import Checkpointer, SignedLog, SigningKey, signature_of
from vault_etl.base import logs

Keep = Callable[[Checkpoint], None]
"""Takes a signed head: `keep_checkpoint`, or a `LastCheckpoint`."""


def check_role(
    parts: Parts, *roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
) -> None:
    """Raise DeniedError unless the database's login acts as one of these roles.

    `requests` are then logged as denied, if the login may write the log at all.
    """
    PostgresAuditLog(parts.database).check_role(*roles, requests=requests)


def audit_log(
    parts: Parts, request_id: uuid.UUID | None = None, keep: Keep | None = None
) -> SignedLog:
    """The log of an audited command: at its end the head is signed, stored and logged."""
    return SignedLog(
        PostgresAuditLog(parts.database),
        parts.checkpoints,
        head_signer(parts, request_id),
        keep or keep_checkpoint,
    )


def head_signer(parts: Parts, request_id: uuid.UUID | None = None) -> KmsHeadSigner:
    """The audit key in KMS, which is asked with this request id in the user agent."""
    return KmsHeadSigner(parts.aws.kms(request_id), parts.settings.audit_key)


def public_key(parts: Parts) -> KmsPublicKey:
    """The public half of the audit key."""
    return KmsPublicKey(parts.aws.kms(), parts.settings.audit_key)


def sign_text(parts: Parts, text: str) -> tuple[SigningKey, bytes]:
    """Sign a text with the key of the audit log: the key, and the signature in DER.

    The text must not begin as a checkpoint or a registration does: the same key signs those.
    """
    keys = parts.checkpoints.registered_keys()
    return signature_of(text, head_signer(parts), keys)


def reader(parts: Parts) -> AuditReader:
    """Build `audit list`."""
    return PostgresAuditReader(parts.reads)


def policy(parts: Parts) -> PostgresPolicy:
    """Build `audit policy`."""
    return PostgresPolicy(parts.database)


def checkpointer(parts: Parts) -> Checkpointer:
    """Build `audit checkpoint`."""
    return Checkpointer(
        registry=PostgresKeyRegistry(parts.database),
        checkpoints=parts.checkpoints,
        public_key=public_key(parts),
        signer=head_signer(parts),
        identity=parts.identity,
        keep=keep_checkpoint,
    )


class LastCheckpoint:
    """Keeps the newest signed head of many accesses, which covers all before it, and logs it at their end."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None

    def __call__(self, checkpoint: Checkpoint) -> None:
        """Keep this checkpoint."""
        self.checkpoint = checkpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.checkpoint is not None:
            keep_checkpoint(self.checkpoint)


def keep_checkpoint(checkpoint: Checkpoint) -> None:
    """Log a signed head: the database's owner cannot reach the logs. On a terminal, which keeps no log, at debug."""
    logger = logs.get_logger()
    log = logger.debug if sys.stderr.isatty() else logger.info
    log("checkpoint", seq=checkpoint.head.seq, note=checkpoint.note)
