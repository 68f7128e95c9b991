"""KMS, one interface a permission: who may make keys need not be able to unwrap them."""

from __future__ import annotations

import dataclasses
import threading
from typing import Protocol

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
        """The plaintext of a stored key, under the context of its own columns.

        Raises UnusableKeyError if the key is at fault: destroyed, no key under this context, or of a
        KMS key that is not on the allow-list or not the one that its row names. Raises
        KeyUnavailableError if KMS refuses the KMS key, KeyDeniedError if it refuses this caller, and
        UnavailableError if it does not answer.
        """


class KmsKeys(Protocol):
    """May look up KMS keys (kms:DescribeKey)."""

    def arn(self, name: str) -> str:
        """The ARN of the key with this id, ARN or alias.

        Raises DeniedError, KeyUnavailableError or UnavailableError.
        """

    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        """Whether keys of this purpose may be wrapped by this KMS key: the allow-list."""

    def in_use(self, purpose: KeyPurpose) -> str:
        """The ARN of the KMS key that wraps new keys of this purpose. Raises what `arn` raises."""


def prove_kms(key: WrappedKey, unwrapper: KeyUnwrapper) -> KeyMaterial:
    """Unwrap a key that the caller may open, then try it with another key id in the context; the key.

    Policies bind purpose and field, and only ask that there is a key id. So IAM allows the second try
    whenever it allowed the first, and KMS itself must refuse it: only its word about the bytes is a
    proof, and no denial of the caller. Raises ConfigurationError if the second try succeeds (this KMS
    ignores the context, and nothing that is sealed under it would be bound to anything), is denied, or
    fails otherwise. Raises UnusableKeyError if the key that comes back is not the one stored, and what
    `unwrap` raises.
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
        hint="an emulator or a proxy that does is of no use here: point AWS_ENDPOINT_URL at KMS",
    )


def must_have_its_fingerprint(key: WrappedKey, material: KeyMaterial) -> None:
    """Raise UnusableKeyError unless this is the key that was stored."""
    if fingerprint(material, key.key_id) != key.fingerprint:
        message = f"key {key.key_id} is not the one of its fingerprint"
        raise UnusableKeyError(message)


class ProvenUnwrapper:
    """`KeyUnwrapper` that proves its KMS with the first key that it is asked for."""

    def __init__(self, unwrapper: KeyUnwrapper) -> None:
        self._unwrapper = unwrapper
        self._lock = threading.Lock()
        self._proven = False

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """See `KeyUnwrapper.unwrap`, and `prove_kms` for what the first call raises besides."""
        with self._lock:
            if not self._proven:
                material = prove_kms(key, self._unwrapper)
                self._proven = True
                return material
        return self._unwrapper.unwrap(key)
