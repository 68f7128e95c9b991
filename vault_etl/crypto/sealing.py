"""Sealing: the holder of a `Sealer` can write values, and cannot read any with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import (
    NONCE_BYTES,
    Ciphertext,
    ValuePlace,
    bound_to,
    header,
    pad,
)
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import DataKey

_NONCES: Final = 256
"""Nonces in one call of the operating system, which costs as much as a seal."""


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

    def of_value(
        self, table: EventName, name: str, field: FieldName, nonces: Iterator[bytes]
    ) -> ValueSealer:
        """Return what seals one value of many records. Raises KeyError as `seal` does."""
        key_id, cipher = self._ciphers[field]
        return ValueSealer(bound_to(table, name), key_id, cipher, nonces)

    def _seal_with_nonce(self, value: Pii, place: ValuePlace, nonce: bytes) -> bytes:
        """Seal with a given nonce, for test vectors alone: a repeated nonce gives the key away."""
        key_id, cipher = self._ciphers[place.field]
        sealed = cipher.encrypt(nonce, pad(value.expose()), place.associated_data(key_id))
        return Ciphertext(key_id, nonce, sealed).serialise()


class ValueSealer:
    """Seals one value of many records, as `Sealer.seal` does. What all records share is made once.

    `bound` is the beginning of associated data. `nonces` are those of `new_nonces`.
    """

    __slots__ = ("_bound", "_encrypt", "_header", "_key_id", "_nonces")

    def __init__(self, bound: bytes, key_id: int, cipher: AESGCM, nonces: Iterator[bytes]) -> None:
        self._bound = bound
        self._header = header(key_id)
        self._key_id = key_id.to_bytes(4, "big")
        self._encrypt = cipher.encrypt
        self._nonces = nonces

    def seal(self, value: Pii, record_id: bytes, user_id: bytes) -> bytes:
        """Return the ciphertext for a record: its id of 16 bytes, and its user id behind its length (`lp`)."""
        nonce = next(self._nonces)
        bound = self._bound + record_id + self._key_id + user_id
        return self._header + nonce + self._encrypt(nonce, pad(value.expose()), bound)


def new_nonces() -> Iterator[bytes]:
    """Draw nonces from the operating system, many at once. Take each one once, and none in another process.

    One batch has its own: a process that is forked later finds none of them. Two threads cannot take the same
    nonce: the second one gets a ValueError, because a generator runs in one thread at a time.
    """
    while True:
        drawn = os.urandom(_NONCES * NONCE_BYTES)
        for at in range(0, len(drawn), NONCE_BYTES):
            yield drawn[at : at + NONCE_BYTES]
