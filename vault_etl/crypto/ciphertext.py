"""Ciphertext format 1, the place that a ciphertext is bound to, and its padding.

    offset  size  field
    0       1     0x01                         format
    1       4     key id, big-endian           which data key
    5       12    nonce
    17      n     AES-256-GCM ciphertext of pad(plaintext), n a multiple of 16, at least 16
    17+n    16    tag

These are the bytes that Tink writes for an `AesGcmKey` with the `TINK` output prefix.

The padding is ISO/IEC 7816-4: one byte 0x80, then zeros, to a multiple of 16 bytes. A ciphertext shows the
length of its value to 16 bytes: all IPv4 addresses have one length.
"""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import (
    QUARANTINE,
    QUARANTINE_TABLE,
    EventName,
    FieldName,
)

FORMAT: Final = 0x01
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_ID_ENDS: Final = 1 + 4
HEADER_BYTES: Final = KEY_ID_ENDS + NONCE_BYTES


@functools.cache
def bound_to(table: str, name: str) -> bytes:
    """Return the beginning of associated data, made once: a rotation needs it four times a row."""
    return b"vault-etl/1" + lp(table) + lp(name)


def header(key_id: int) -> bytes:
    """Return the first five bytes of a ciphertext: format and key id."""
    return bytes([FORMAT]) + key_id.to_bytes(4, "big")


def key_id_in(stored: bytes) -> int:
    """Return the key id that a ciphertext names, bytes 1 to 4, big-endian. Nothing else is checked."""
    return int.from_bytes(stored[1:KEY_ID_ENDS], "big")


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """The parts of format 1. `sealed` is the AES-GCM ciphertext with its tag of 16 bytes."""

    key_id: int
    nonce: bytes
    sealed: bytes

    @classmethod
    def parse(cls, stored: bytes) -> Ciphertext:
        """Parse format 1. Raises IntegrityError, without a reason, for any other bytes."""
        body = len(stored) - HEADER_BYTES - TAG_BYTES
        if body < BLOCK_BYTES or body % BLOCK_BYTES or stored[0] != FORMAT:
            raise IntegrityError
        return cls(
            key_id=key_id_in(stored),
            nonce=stored[KEY_ID_ENDS:HEADER_BYTES],
            sealed=stored[HEADER_BYTES:],
        )

    def serialise(self) -> bytes:
        """Return the bytes to store."""
        return header(self.key_id) + self.nonce + self.sealed


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """The table, name, record and user that a value belongs to, and the field whose keys seal it.

    `name` is the name of the value in its event, of which two can be of one field. `user_id` is the record's
    subject; it is empty for a quarantined body, whose user is not known yet.
    """

    table: EventName
    name: str
    field: FieldName
    record_id: uuid.UUID
    user_id: str

    @classmethod
    def in_quarantine(cls, record_id: uuid.UUID) -> ValuePlace:
        """Return the place of the body of a quarantined message."""
        return cls(QUARANTINE_TABLE, QUARANTINE, QUARANTINE, record_id, "")

    def associated_data(self, key_id: int) -> bytes:
        """Return the associated data, which AES-GCM authenticates with the value.

        "vault-etl/1" ‖ lp(table) ‖ lp(name) ‖ record id (16 bytes) ‖ key id (4 bytes) ‖ lp(user id).
        A ciphertext that was moved to another row, column, key or user does not open.
        """
        return b"".join(
            (
                bound_to(self.table, self.name),
                self.record_id.bytes,
                key_id.to_bytes(4, "big"),
                lp(self.user_id),
            )
        )


BLOCK_BYTES: Final = 16

_MARK: Final = b"\x80"
_PADDING: Final = [_MARK + bytes(BLOCK_BYTES - 1 - over) for over in range(BLOCK_BYTES)]
"""The padding, by the bytes that are over whole blocks."""


def pad(plaintext: bytes) -> bytes:
    """Append 1 to 16 bytes of padding to `plaintext`."""
    return plaintext + _PADDING[len(plaintext) % BLOCK_BYTES]


def unpad(padded: bytes) -> bytes:
    """Return the plaintext that `pad` was given. Raises ValueError for bytes that `pad` cannot make."""
    marked = padded.rstrip(b"\0")
    zeros = len(padded) - len(marked)
    if len(padded) % BLOCK_BYTES or zeros >= BLOCK_BYTES or not marked.endswith(_MARK):
        message = "malformed padding"
        raise ValueError(message)
    return marked[:-1]
