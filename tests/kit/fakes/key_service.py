"""A KMS in memory: no mock, but AES-256-GCM with the encryption context as associated data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from vault_etl.base.errors import (
    KeyDeniedError,
    KeyNotOpenedError,
    KeyUnavailableError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import ROTATED, FieldName, KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, KeyMaterial, WrappedKey, encryption_context
from vault_etl.keys.make import (
    GeneratedKey,
    KeyGenerator,
    NewKey,
    UnseenKey,
    UnseenKeyGenerator,
    make_unseen_key,
)
from vault_etl.keys.rewrap import KeyRewrapper
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys

_NONCE_BYTES = 12


class FakeKms(KeyGenerator, UnseenKeyGenerator, KeyUnwrapper, KeyRewrapper, KmsKeys):
    """Every port of `vault_etl.keys.unwrap` in memory, one KMS key a purpose.

    `denied` names the fields whose keys this caller may not unwrap, `denied_rewraps` those that it
    may not rewrap, and `denied_arns` KMS keys that it may not use; `ignores_context` makes it the KMS
    that must never be trusted; `garbles` makes it one that rewraps to bytes that do not open, and
    `down` one that does not answer.
    """

    def __init__(self, *, ignores_context: bool = False) -> None:
        self._ignores_context = ignores_context
        self._masters = {arn_of(purpose): os.urandom(KEY_BYTES) for purpose in ROTATED}
        self.trusted = {purpose: {arn_of(purpose.kms_key)} for purpose in KeyPurpose}
        self.aliases: dict[str, str] = {}
        self.denied: set[FieldName] = set()
        self.denied_arns: set[str] = set()
        self.denied_rewraps: set[FieldName] = set()
        self.garbles = False
        self.down = False
        self.generated: list[int] = []
        self.unwrapped: list[int] = []
        self.rewrapped: list[int] = []

    def make_kms_key(self, arn: str) -> None:
        """One more KMS key, which no vault trusts yet."""
        self._masters[arn] = os.urandom(KEY_BYTES)

    @override
    def generate(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> GeneratedKey:
        self._answer()
        self.generated.append(key_id)
        material, arn = os.urandom(KEY_BYTES), arn_of(purpose.kms_key)
        wrapped = self._wrap(material, arn, encryption_context(purpose, field, key_id))
        return GeneratedKey(KeyMaterial(material), wrapped, arn)

    @override
    def generate_unseen(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> UnseenKey:
        made = self.generate(purpose, field, key_id)
        return UnseenKey(made.wrapped_key, made.kms_key_arn)

    @override
    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        self._answer()
        self.unwrapped.append(key.key_id)
        return KeyMaterial(self._open(key, self.denied))

    @override
    def rewrap(self, key: WrappedKey, kms_key_arn: str) -> bytes:
        self._answer()
        self.rewrapped.append(key.key_id)
        material = self._open(key, self.denied_rewraps)
        if not self.trusts(key.purpose, kms_key_arn):
            raise UnusableKeyError("the KMS key is not trusted here")
        if self.garbles:
            return b"garbled" * 9
        context = encryption_context(key.purpose, key.field, key.key_id)
        return self._wrap(material, kms_key_arn, context)

    @override
    def arn(self, name: str) -> str:
        self._answer()
        found = self.aliases.get(name, name)
        if found not in self._masters:
            raise KeyUnavailableError("KMS does not use this key")
        return found

    @override
    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        return kms_key_arn in self.trusted[purpose]

    @override
    def in_use(self, purpose: KeyPurpose) -> str:
        return arn_of(purpose.kms_key)

    def _open(self, key: WrappedKey, denied: set[FieldName]) -> bytes:
        if key.wrapped_key is None:
            raise UnusableKeyError("the key is destroyed")
        if not self.trusts(key.purpose, key.kms_key_arn):
            raise UnusableKeyError("the KMS key is not trusted here")
        if key.field in denied or key.kms_key_arn in self.denied_arns:
            raise KeyDeniedError("KMS denies this (AccessDeniedException)")
        nonce, sealed = key.wrapped_key[:_NONCE_BYTES], key.wrapped_key[_NONCE_BYTES:]
        context = self._context(encryption_context(key.purpose, key.field, key.key_id))
        try:
            return AESGCM(self._masters[key.kms_key_arn]).decrypt(nonce, sealed, context)
        except InvalidTag:
            raise KeyNotOpenedError("KMS does not open it") from None

    def _wrap(self, material: bytes, arn: str, context: Mapping[str, str]) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._masters[arn]).encrypt(nonce, material, self._context(context))

    def _answer(self) -> None:
        if self.down:
            raise UnavailableError("KMS cannot be reached")

    def _context(self, context: Mapping[str, str]) -> bytes:
        return b"" if self._ignores_context else json.dumps(context, sort_keys=True).encode()


def token_key(kms: FakeKms, field: FieldName, generation: int = 1) -> NewKey:
    """A token key that this KMS wrapped for another process: the unwrap of its maker is not counted."""
    new = make_unseen_key(kms, kms, KeyPurpose.TOKEN, field, generation)
    kms.unwrapped.pop()
    return new


def arn_of(purpose: KeyPurpose) -> str:
    """The ARN of the KMS key for a purpose."""
    return f"arn:aws:kms:eu-west-1:000000000000:key/{purpose.value}"
