"""Prove a KMS before trusting it: it must open what it wrapped, and only under its own context."""

from __future__ import annotations

import dataclasses
import threading

from vault_etl.core.fields import PERSONAL_FIELDS
from vault_etl.core.keys import KeyMaterial, WrappedKey, fingerprint
from vault_etl.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from vault_etl.ports.key_service import KeyUnwrapper


def prove_kms(key: WrappedKey, unwrapper: KeyUnwrapper) -> KeyMaterial:
    """Unwrap a key that the caller may open, then try it with another field's context; the key.

    Raises ConfigurationError if the second try succeeds: this KMS ignores the context, and nothing
    that is sealed under it would be bound to anything. Raises IntegrityError if the key that comes
    back is not the one stored, and whatever `unwrap` raises.
    """
    material = unwrapper.unwrap(key)
    if fingerprint(material, key.key_id) != key.fingerprint:
        raise IntegrityError
    other = next(field for field in PERSONAL_FIELDS if field is not key.field)
    try:
        unwrapper.unwrap(dataclasses.replace(key, field=other))
    except KeyUnavailableError:
        return material
    message = "this KMS ignores the encryption context"
    raise ConfigurationError(
        message,
        hint="an emulator or a proxy that does is of no use here: point AWS_ENDPOINT_URL at KMS",
    )


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
