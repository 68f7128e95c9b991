"""Sealing: the holder of a `Sealer` can write values, and cannot read any with it."""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import NONCE_BYTES, Ciphertext, ValuePlace, pad
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import DataKey


class Sealer:
    """Seals values in ciphertext format 1, each field under its own data key."""

    def __init__(self, keys: Iterable[DataKey]) -> None:
        self._ciphers: dict[FieldName, tuple[int, AESGCM]] = {
            key.field: (key.key_id, AESGCM(key.material.expose())) for key in keys
        }

    def seal(self, value: Pii, place: ValuePlace) -> bytes:
        """Return the ciphertext of `value` for `place`, under a nonce from the operating system.

        Raises KeyError if this sealer has no key for the field of the place.
        """
        return self._seal_with_nonce(value, place, os.urandom(NONCE_BYTES))

    def _seal_with_nonce(self, value: Pii, place: ValuePlace, nonce: bytes) -> bytes:
        """Seal with a given nonce, for test vectors alone: a repeated nonce gives the key away."""
        key_id, cipher = self._ciphers[place.field]
        sealed = cipher.encrypt(nonce, pad(value.expose()), place.associated_data(key_id))
        return Ciphertext(key_id, nonce, sealed).serialise()
