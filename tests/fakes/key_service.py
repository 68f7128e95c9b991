"""A KMS in memory: no mock, but AES-256-GCM with the encryption context as associated data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.core.fields import Field, KeyPurpose
from vault_etl.core.keys import KEY_BYTES, KeyMaterial, WrappedKey, encryption_context
from vault_etl.errors import (
    KeyDeniedError,
    KeyDestroyedError,
    KeyUnavailableError,
    UnavailableError,
)
from vault_etl.ports.key_service import GeneratedKey

_NONCE_BYTES = 12


class FakeKms:
    """`KeyGenerator` and `KeyUnwrapper` in memory, one KMS key a purpose.

    `denied` names the fields whose keys this caller may not unwrap; `ignores_context` makes it the
    KMS that must never be trusted; `down` makes it one that does not answer.
    """

    def __init__(self, *, ignores_context: bool = False) -> None:
        self._ignores_context = ignores_context
        self._masters = {arn_of(purpose): os.urandom(KEY_BYTES) for purpose in KeyPurpose}
        self.denied: set[Field] = set()
        self.down = False
        self.generated: list[int] = []
        self.unwrapped: list[int] = []

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """See `KeyGenerator.generate`."""
        self._answer()
        self.generated.append(key_id)
        material, nonce, arn = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES), arn_of(purpose)
        context = self._context(encryption_context(purpose, field, key_id))
        wrapped = nonce + AESGCM(self._masters[arn]).encrypt(nonce, material, context)
        return GeneratedKey(KeyMaterial(material), wrapped, arn)

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """See `KeyUnwrapper.unwrap`."""
        self._answer()
        self.unwrapped.append(key.key_id)
        if key.wrapped_key is None:
            raise KeyDestroyedError("the key is destroyed")
        if key.kms_key_arn != arn_of(key.purpose):
            raise KeyUnavailableError("the KMS key is not trusted here")
        if key.field in self.denied:
            raise KeyDeniedError("KMS denies this (AccessDeniedException)")
        nonce, sealed = key.wrapped_key[:_NONCE_BYTES], key.wrapped_key[_NONCE_BYTES:]
        context = self._context(encryption_context(key.purpose, key.field, key.key_id))
        try:
            return KeyMaterial(
                AESGCM(self._masters[key.kms_key_arn]).decrypt(nonce, sealed, context)
            )
        except InvalidTag:
            raise KeyUnavailableError("KMS does not use this key") from None

    def _answer(self) -> None:
        if self.down:
            raise UnavailableError("KMS cannot be reached")

    def _context(self, context: Mapping[str, str]) -> bytes:
        return b"" if self._ignores_context else json.dumps(context, sort_keys=True).encode()


def arn_of(purpose: KeyPurpose) -> str:
    """The ARN of the KMS key for a purpose."""
    return f"arn:aws:kms:eu-west-1:000000000000:key/{purpose.value}"
