"""Record ids: a UUIDv7 (RFC 9562, 5.7) that is a function of the message.

    b = milliseconds, 6 bytes big-endian ‖ h[0:10]
    h = SHA-256("vault-etl/1/record" ‖ ASCII message id)
    b[6] = 0x70 | b[6] & 0x0f        version 7
    b[8] = 0x80 | b[8] & 0x3f        variant

A redelivered message has the id that it had, and meets its row on the primary key.
"""

from __future__ import annotations

import uuid
from typing import Final

from vault_etl.core.digest import sha256

MAX_MILLISECONDS: Final = 2**48 - 1

_LABEL: Final = b"vault-etl/1/record"


def record_id_of_message(message_id: str, sent_ms: int) -> uuid.UUID:
    """The record id of a queue's message.

    `sent_ms` is its SentTimestamp in milliseconds since 1970. Raises ValueError if it does not
    fit 48 bits, or if the message id is not ASCII.
    """
    return _record_id(sent_ms, sha256(_LABEL, message_id.encode("ascii")))


def milliseconds_of(record_id: uuid.UUID) -> int:
    """The time in a record id, in milliseconds since 1970."""
    return int.from_bytes(record_id.bytes[:6], "big")


def _record_id(milliseconds: int, digest: bytes) -> uuid.UUID:
    if not 0 <= milliseconds <= MAX_MILLISECONDS:
        message = "the time of a record id does not fit 48 bits"
        raise ValueError(message)
    b = bytearray(milliseconds.to_bytes(6, "big") + digest[:10])
    b[6] = 0x70 | b[6] & 0x0F
    b[8] = 0x80 | b[8] & 0x3F
    return uuid.UUID(bytes=bytes(b))
