"""Opening values, only against a receipt of the audit log, and the stored values that an entry discloses."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.audit.entries import AuditReceipt
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import (
    BLOCK_BYTES,
    HEADER_BYTES,
    KEY_ID_ENDS,
    TAG_BYTES,
    ValuePlace,
    bound_to,
    header,
    unpad,
)
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import DataKey, KeyMaterial


class Opener:
    """Opens values of ciphertext format 1 for one entry of the audit log."""

    def __init__(self, receipt: AuditReceipt) -> None:
        self.receipt = receipt
        self._ciphers: dict[int, tuple[KeyMaterial, AESGCM]] = {}

    def open(self, stored: bytes, place: ValuePlace, key: DataKey) -> Pii:
        """Return the value that was sealed for `place`.

        Raises the same IntegrityError whatever is wrong: format, key, place or tag.
        """
        of_value = self.of_value(place.table, place.name, place.field, {key.key_id: key})
        with contextlib.suppress(ValueError):  # a user id that no ciphertext can name
            return of_value.open(stored, place.record_id.bytes, lp(place.user_id))
        raise IntegrityError

    def of_value(
        self, table: EventName, name: str, field: FieldName, keys: Mapping[int, DataKey]
    ) -> ValueOpener:
        """Return what opens one value of many records under these keys, those of other fields left out."""
        ciphers = {
            header(key_id): self._cipher(key).decrypt
            for key_id, key in keys.items()
            if key.field == field
        }
        return ValueOpener(bound_to(table, name), ciphers)

    def _cipher(self, key: DataKey) -> AESGCM:
        """Return the cipher of a key, made once: many rows are under one key."""
        material, cipher = self._ciphers.get(key.key_id, (None, None))
        if cipher is None or material is not key.material:
            cipher = AESGCM(key.material.expose())
            self._ciphers[key.key_id] = (key.material, cipher)
        return cipher


class ValueOpener:
    """Opens one value of many records, as `Opener.open` does. What all records share is made once.

    `bound` is the beginning of associated data. `ciphers` has the decryption of each key by the first five bytes of
    its ciphertexts.
    """

    __slots__ = ("_bound", "_ciphers")

    def __init__(
        self, bound: bytes, ciphers: Mapping[bytes, Callable[[bytes, bytes, bytes], bytes]]
    ) -> None:
        self._bound = bound
        self._ciphers = ciphers

    def open(self, stored: bytes, record_id: bytes, user_id: bytes) -> Pii:
        """Return the value of a record: its id of 16 bytes, and its user id behind its length (`lp`).

        Raises the same IntegrityError whatever is wrong: format, key, place or tag.
        """
        decrypt = self._ciphers.get(stored[:KEY_ID_ENDS])
        body = len(stored) - HEADER_BYTES - TAG_BYTES
        if decrypt is None or body < BLOCK_BYTES or body % BLOCK_BYTES:
            raise IntegrityError
        bound = self._bound + record_id + stored[1:KEY_ID_ENDS] + user_id
        # Raised outside the handler, so that not even __context__ tells a bad tag from bad padding.
        try:
            # The plaintext is never a local: a traceback that prints locals would show a value with bad padding.
            return Pii(
                unpad(decrypt(stored[KEY_ID_ENDS:HEADER_BYTES], stored[HEADER_BYTES:], bound))
            )
        except (InvalidTag, ValueError):
            pass
        raise IntegrityError


@dataclass(frozen=True, slots=True)
class DisclosedValue:
    """The stored parts that opening one value needs, and those that are compared afterwards.

    `event` is bound into associated data, and `field` is that of the keys. `ciphertext` is None if the value was
    erased. `tokens` are that of the value, then those of its derived forms. A quarantined body has no subject, day and
    tokens.
    """

    event: EventName
    field: FieldName
    ciphertext: bytes | None
    subject: str | None = None
    day: dt.date | None = None
    tokens: Sequence[uuid.UUID | None] = ()
    token_generation: int | None = None


class DisclosedValues(Protocol):
    """Hands out the stored values of one record, or one quarantined body, against a committed intent."""

    def disclose(self, receipt: AuditReceipt) -> Mapping[str, DisclosedValue]:
        """Return the values of the fields that the intent names, once, by their names; empty without such a record.

        Raises DeniedError unless a committed intent of this login, at most 60 s old, allows it.
        """
