"""Signing the head of the log, in memory: a real key on P-256, without a KMS before it."""

from __future__ import annotations

import uuid

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Checkpoint
from vault_etl.errors import UnavailableError
from vault_etl.ports.checkpoints import SigningKey

ARN = "arn:aws:kms:eu-west-1:000000000000:key/audit"
VAULT_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")


class FakeHeadSigner:
    """`HeadSigner` in memory. `down` makes it one that does not answer."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.down = False

    def sign(self, text: bytes) -> bytes:
        """See `HeadSigner.sign`."""
        if self.down:
            raise UnavailableError("KMS cannot be reached")
        return self._private.sign(text, ec.ECDSA(SHA256()))

    def signing_key(self) -> SigningKey:
        """Its public half."""
        public = self._private.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SigningKey(ARN, AuditKey(spki))


class FakeCheckpoints:
    """`CheckpointStore` in memory. `key` is the one that is registered, or None."""

    def __init__(self, key: SigningKey | None) -> None:
        self.key = key
        self.stored: list[Checkpoint] = []

    def vault_id(self) -> uuid.UUID:
        """See `CheckpointStore.vault_id`."""
        return VAULT_ID

    def expected_key(self) -> SigningKey | None:
        """See `CheckpointStore.expected_key`."""
        return self.key

    def store(self, checkpoint: Checkpoint) -> None:
        """See `CheckpointStore.store`."""
        self.stored.append(checkpoint)
