"""Opening values, only against a receipt of the audit log, and the stored values that an entry discloses."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault_etl.audit.entries import AuditReceipt
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace, unpad
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
        ciphertext = Ciphertext.parse(stored)
        if ciphertext.key_id != key.key_id or place.field != key.field:
            raise IntegrityError
        cipher = self._cipher(key)
        # Raised outside the handler, so that not even __context__ tells a bad tag from bad padding.
        with contextlib.suppress(InvalidTag, ValueError):
            bound = place.associated_data(key.key_id)
            # The plaintext is never a local: a traceback that prints locals would show a value with bad padding.
            return Pii(unpad(cipher.decrypt(ciphertext.nonce, ciphertext.sealed, bound)))
        raise IntegrityError

    def _cipher(self, key: DataKey) -> AESGCM:
        """Return the cipher of a key, made once: many rows are under one key."""
        material, cipher = self._ciphers.get(key.key_id, (None, None))
        if cipher is None or material is not key.material:
            cipher = AESGCM(key.material.expose())
            self._ciphers[key.key_id] = (key.material, cipher)
        return cipher


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
