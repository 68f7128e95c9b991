"""Signing the head of the log, in memory: a real key on P-256, without a KMS before it."""

from __future__ import annotations

import uuid
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typing_extensions import override

from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Registration
from vault_etl.audit.signing import CheckpointStore, HeadSigner, KmsSignature, SigningKey
from vault_etl.base.errors import UnavailableError

ARN = "arn:aws:kms:eu-west-1:000000000000:key/audit"
VAULT_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")


class FakeHeadSigner(HeadSigner):
    """`HeadSigner` in memory. `down` makes it one that does not answer."""

    def __init__(self, arn: str = ARN) -> None:
        self.arn = arn
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.down = False

    @override
    def sign(self, text: bytes) -> KmsSignature:
        if self.down:
            raise UnavailableError("KMS cannot be reached")
        return KmsSignature(self.arn, self._private.sign(text, ec.ECDSA(SHA256())))

    def signing_key(self) -> SigningKey:
        """The public half of the key."""
        public = self._private.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SigningKey(self.arn, AuditKey(spki))

    def registration(self, vault_id: uuid.UUID, head: Head) -> Registration:
        """The registration of the key, proven."""
        key = self.signing_key()
        bare = Registration(vault_id, head, key.kms_key_arn, key.key)
        return replace(bare, signature=self.sign(bare.text.encode()).der)


class FakeCheckpoints(CheckpointStore):
    """`CheckpointStore` in memory. `keys` are those that are registered."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys)
        self.stored: list[Checkpoint] = []

    @override
    def vault_id(self) -> uuid.UUID:
        return VAULT_ID

    @override
    def registered_keys(self) -> list[SigningKey]:
        return self.keys

    @override
    def store(self, checkpoint: Checkpoint) -> None:
        self.stored.append(checkpoint)
