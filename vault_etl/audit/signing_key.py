"""The public half of the key that signs the audit log, or archives: ECDSA on P-256 over SHA-256."""

from __future__ import annotations

from typing import final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from vault_etl.audit.checkpoint import KEY_HASH_BYTES, Checkpoint
from vault_etl.crypto.digest import sha256


@final
class AuditKey:
    """A public key. `hash` is the first 4 bytes of the SHA-256 of its SubjectPublicKeyInfo in DER."""

    __slots__ = ("_key", "hash", "spki")

    def __init__(self, encoded: bytes) -> None:
        """Read a SubjectPublicKeyInfo in DER or PEM. Raises ValueError for another kind of key."""
        load = load_pem_public_key if encoded.lstrip().startswith(b"-----") else load_der_public_key
        try:
            key = load(encoded)
        except (ValueError, UnsupportedAlgorithm):
            raise _no_key() from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise _no_key()
        self._key = key
        self.spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.hash = sha256(self.spki)[:KEY_HASH_BYTES]

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature`, in DER, is this key's over `text`."""
        try:
            self._key.verify(signature, text, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Whether one signature line of the checkpoint is this key's."""
        text = checkpoint.text.encode()
        return any(
            line.name == checkpoint.origin
            and line.key_hash == self.hash
            and self.verifies(text, line.signature)
            for line in checkpoint.signatures
        )


def _no_key() -> ValueError:
    return ValueError("it is no public key on the curve P-256, in DER or PEM")
