"""Ciphertext format 1, and the place that a ciphertext is bound to.

    offset  size  field
    0       1     0x01                         format
    1       4     key id, big-endian           which data key
    5       12    nonce
    17      n     AES-256-GCM ciphertext of pad(plaintext), n a multiple of 16, at least 16
    17+n    16    tag

These are the bytes that Tink writes for an `AesGcmKey` with the `TINK` output prefix.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import Field, Table

FORMAT: Final = 0x01
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
HEADER_BYTES: Final = 1 + 4 + NONCE_BYTES

_BOUND_TO: Final = {
    (table, field): b"vault-etl/1" + lp(table) + lp(field) for table in Table for field in Field
}
"""How associated data begins. Made once: a rotation needs it four times a row."""


def key_id_in(stored: bytes) -> int:
    """The key id that a ciphertext names, whatever else is wrong with it: bytes 1 to 4, big-endian."""
    return int.from_bytes(stored[1:5], "big")


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """Format 1, taken apart. `sealed` is the AES-GCM ciphertext with its tag of 16 bytes."""

    key_id: int
    nonce: bytes
    sealed: bytes

    @classmethod
    def parse(cls, stored: bytes) -> Ciphertext:
        """Take format 1 apart. Raises IntegrityError, and says nothing of why, for anything else."""
        body = len(stored) - HEADER_BYTES - TAG_BYTES
        if body < BLOCK_BYTES or body % BLOCK_BYTES or stored[0] != FORMAT:
            raise IntegrityError
        return cls(
            key_id=key_id_in(stored),
            nonce=stored[5:HEADER_BYTES],
            sealed=stored[HEADER_BYTES:],
        )

    def serialise(self) -> bytes:
        """The bytes that are stored."""
        return bytes([FORMAT]) + self.key_id.to_bytes(4, "big") + self.nonce + self.sealed


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """Where a value belongs: its table, field, record and person.

    `user_id` is empty for a quarantined body, which has no person yet.
    """

    table: Table
    field: Field
    record_id: uuid.UUID
    user_id: str

    @classmethod
    def in_record(cls, field: Field, record_id: uuid.UUID, user_id: str) -> ValuePlace:
        """A personal field of a record in `user_logins`."""
        return cls(Table.USER_LOGINS, field, record_id, user_id)

    @classmethod
    def in_quarantine(cls, record_id: uuid.UUID) -> ValuePlace:
        """The body of a quarantined message."""
        return cls(Table.QUARANTINE, Field.QUARANTINE, record_id, "")

    def associated_data(self, key_id: int) -> bytes:
        """What AES-GCM authenticates beside the value.

        "vault-etl/1" ‖ lp(table) ‖ lp(field) ‖ record id (16 bytes) ‖ key id (4 bytes) ‖
        lp(user id): a ciphertext moved to another row, column, key or person does not open.
        """
        return b"".join(
            (
                _BOUND_TO[self.table, self.field],
                self.record_id.bytes,
                key_id.to_bytes(4, "big"),
                lp(self.user_id),
            )
        )


BLOCK_BYTES: Final = 16

_MARK: Final = b"\x80"


def pad(plaintext: bytes) -> bytes:
    """`plaintext` with 1 to 16 bytes of padding behind it."""
    return plaintext + _MARK + bytes(-(len(plaintext) + 1) % BLOCK_BYTES)


def unpad(padded: bytes) -> bytes:
    """The plaintext that `pad` was given. Raises ValueError for anything that `pad` cannot make."""
    plaintext, mark, zeros = padded.rpartition(_MARK)
    if not mark or len(padded) % BLOCK_BYTES or len(zeros) >= BLOCK_BYTES or any(zeros):
        message = "malformed padding"
        raise ValueError(message)
    return plaintext
