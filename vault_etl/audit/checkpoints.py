"""Checkpoints: who signs the head of the audit log, with what key, and where it is kept."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.registration import Registration
from vault_etl.audit.signing_key import AuditKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A KMS key that signs the log, or archives, and its public half."""

    kms_key_arn: str
    key: AuditKey


@dataclass(frozen=True, slots=True)
class KmsSignature:
    """A signature in DER, and the ARN of the KMS key that made it: None if the KMS does not say."""

    kms_key_arn: str | None
    der: bytes


class HeadSigner(Protocol):
    """May sign (kms:Sign), and need not know the public half of the key."""

    def sign(self, text: bytes) -> KmsSignature:
        """ECDSA_SHA_256 over `text`, under 4,096 bytes.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class PublicKeySource(Protocol):
    """May read the public half of a key that signs (kms:GetPublicKey)."""

    def signing_key(self) -> SigningKey:
        """The key that the settings name. Raises as `HeadSigner.sign` does."""


class CheckpointStore(Protocol):
    """Keeps checkpoints in the database, and knows which keys are registered to sign them."""

    def vault_id(self) -> uuid.UUID:
        """Which vault this is."""

    def registered_keys(self) -> Sequence[SigningKey]:
        """The keys that are registered and have proven it, the newest first."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Commit a signed head of this vault's log. Raises DeniedError for any other."""


class KeyRegistry(Protocol):
    """May register keys that sign, and read the end of the log (role audit)."""

    def register(self, request: AuditRequest, registration: Registration) -> Head:
        """Take this key's signature from now on, on the record; the head after it.

        Raises AuditError.
        """

    def head(self) -> Head:
        """The newest entry."""
