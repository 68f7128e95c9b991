"""Checkpoints: who signs the head of the audit log, with what key, and where it is kept."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.audit import AuditRequest
from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Checkpoint, Head


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A KMS key that signs the log, and its public half."""

    kms_key_arn: str
    key: AuditKey


class HeadSigner(Protocol):
    """May sign (kms:Sign), and need not know the public half of the key."""

    def sign(self, text: bytes) -> bytes:
        """ECDSA_SHA_256 over `text`, under 4,096 bytes: the signature in DER.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class PublicKeySource(Protocol):
    """May read the public half of the audit key (kms:GetPublicKey)."""

    def signing_key(self) -> SigningKey:
        """The key that the settings name. Raises as `HeadSigner.sign` does."""


class CheckpointStore(Protocol):
    """Keeps checkpoints in the database, and knows which key is expected to sign them."""

    def vault_id(self) -> uuid.UUID:
        """Which vault this is."""

    def expected_key(self) -> SigningKey | None:
        """The key that was registered last, or None."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Commit a signed head of this vault's log. Raises DeniedError for any other."""


class KeyRegistry(Protocol):
    """May say which key signs from now on, and read the end of the log (role audit)."""

    def register(self, request: AuditRequest, key: SigningKey) -> Head:
        """Expect this key from now on, on the record; the head after it. Raises AuditError."""

    def head(self) -> Head:
        """The newest entry."""
