"""Unwrap keys, and prove a KMS before it is trusted: it must bind each key to its encryption context."""

from __future__ import annotations

import dataclasses
import threading
from typing import Protocol

from typing_extensions import override

from vault_etl.base.errors import (
    ConfigurationError,
    KeyDeniedError,
    KeyNotOpenedError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import MAX_KEY_ID, KeyMaterial, WrappedKey, fingerprint


class KeyUnwrapper(Protocol):
    """May unwrap keys (kms:Decrypt)."""

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """Return the plaintext of a stored key, under the context of its own columns.

        Raises UnusableKeyError if the key is at fault: it is destroyed, does not open under this
        context, or its KMS key is not on the allow-list or not the one that its row names. Raises
        KeyUnavailableError if KMS refuses the KMS key, KeyDeniedError if KMS refuses this caller, and
        UnavailableError if KMS does not answer.
        """


class KmsKeys(Protocol):
    """May look up KMS keys (kms:DescribeKey)."""

    def arn(self, name: str) -> str:
        """Return the ARN of the key with this id, ARN or alias.

        Raises DeniedError, KeyUnavailableError or UnavailableError.
        """

    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        """Say whether this KMS key may wrap keys of this purpose: whether it is on the allow-list."""

    def in_use(self, purpose: KeyPurpose) -> str:
        """Return the ARN of the KMS key that wraps new keys of this purpose. Raises the errors of `arn`."""


def prove_kms(key: WrappedKey, unwrapper: KeyUnwrapper) -> KeyMaterial:
    """Unwrap a key that the caller may open, then try again with another key id in the context; return the key.

    Policies bind purpose and field, and require only that a key id is present. So IAM allows the second
    try whenever it allowed the first, and KMS itself must refuse it: only KMS's answer about the bytes is
    a proof; a denial of the caller is not. Raises ConfigurationError if the second try succeeds (this KMS
    ignores the context, so nothing sealed under it would be bound to anything), is denied, or fails for
    another reason. Raises UnusableKeyError if the opened key is not the stored one, and the errors of
    `unwrap`.
    """
    material = unwrapper.unwrap(key)
    must_have_its_fingerprint(key, material)
    another_id = key.key_id % MAX_KEY_ID + 1
    try:
        unwrapper.unwrap(dataclasses.replace(key, key_id=another_id))
    except KeyNotOpenedError:
        return material
    except (KeyDeniedError, UnusableKeyError) as error:
        message = f"it cannot be proven that KMS binds keys to their encryption context: {error}"
        raise ConfigurationError(
            message,
            hint="the policy must allow Decrypt with any key_id in the context, as the template does",
        ) from None
    message = "this KMS ignores the encryption context"
    raise ConfigurationError(
        message,
        hint="an emulator or a proxy that ignores it is not safe: point AWS_ENDPOINT_URL at KMS",
    )


def must_have_its_fingerprint(key: WrappedKey, material: KeyMaterial) -> None:
    """Raise UnusableKeyError unless this is the key that was stored."""
    if fingerprint(material, key.key_id) != key.fingerprint:
        message = f"key {key.key_id} does not match its fingerprint"
        raise UnusableKeyError(message)


class KmsProof:
    """True once this process has proven its KMS; one for all that unwrap keys with it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_given = False


class ProvenUnwrapper(KeyUnwrapper):
    """Unwraps keys, and proves its KMS with the first key of the process."""

    def __init__(self, unwrapper: KeyUnwrapper, proof: KmsProof) -> None:
        self._unwrapper = unwrapper
        self._proof = proof

    @override
    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """Unwrap the key; the first call also raises the errors of `prove_kms`."""
        with self._proof.lock:
            if not self._proof.is_given:
                material = prove_kms(key, self._unwrapper)
                self._proof.is_given = True
                return material
        return self._unwrapper.unwrap(key)
