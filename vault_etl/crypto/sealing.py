"""Sealing: who holds a `Sealer` can write values, and with it alone can read none."""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import NONCE_BYTES, Ciphertext, ValuePlace, pad
from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import DataKey


class Sealer:
    """Seals values in ciphertext format 1, each field under its own data key."""

    def __init__(self, keys: Iterable[DataKey]) -> None:
        self._ciphers: dict[Field, tuple[int, AESGCM]] = {
            key.field: (key.key_id, AESGCM(key.material.expose())) for key in keys
        }

    def seal(self, value: Pii, place: ValuePlace) -> bytes:
        """The ciphertext of `value` for `place`, under a nonce from the operating system.

        Raises KeyError if this sealer holds no key of the place's field.
        """
        return self._seal_with_nonce(value, place, os.urandom(NONCE_BYTES))

    def _seal_with_nonce(self, value: Pii, place: ValuePlace, nonce: bytes) -> bytes:
        """The seam for test vectors. A repeated nonce gives the key away: never call it."""
        key_id, cipher = self._ciphers[place.field]
        sealed = cipher.encrypt(nonce, pad(value.expose()), place.associated_data(key_id))
        return Ciphertext(key_id, nonce, sealed).serialise()
