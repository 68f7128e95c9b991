"""Record ids: a UUIDv7 (RFC 9562, 5.7) computed from the message, or from the line of a file.

    b = milliseconds, 6 bytes big-endian ‖ h[0:10]
    h = SHA-256("vault-etl/1/record" ‖ ASCII message id), or
        SHA-256("vault-etl/1/line" ‖ source id, 16 bytes ‖ line number, 8 bytes big-endian)
    b[6] = 0x70 | b[6] & 0x0f        version 7
    b[8] = 0x80 | b[8] & 0x3f        variant

A redelivered message, or a line that is read again, has the same id, so the primary key finds its row. The
content of a message or of a line is not hashed: the id outlives an erasure.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from typing import Final

from vault_etl.crypto.digest import PrefixedSha256
from vault_etl.crypto.uuids import uuid_of

MAX_MILLISECONDS: Final = 2**48 - 1

FIRST_DAY: Final = dt.date(1970, 1, 1)
MAX_LINES: Final = 2**64 - 1

_OF_MESSAGES: Final = PrefixedSha256(b"vault-etl/1/record")
_LINE_LABEL: Final = b"vault-etl/1/line"
_RANDOM: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0x2 << 62


def record_id_of_message(message_id: str, sent_ms: int) -> uuid.UUID:
    """Return the record id of a message of a queue.

    `sent_ms` is the SentTimestamp in milliseconds since 1970. Raises ValueError if the timestamp does
    not fit 48 bits, or if the message id is not ASCII.
    """
    return _record_id(sent_ms, _OF_MESSAGES.digest(message_id.encode("ascii")))


def record_id_of_line(source_id: uuid.UUID, number: int, milliseconds: int) -> uuid.UUID:
    """Return the record id of a line: the `number`-th, from 1, of a source.

    `source_id` is random, and drawn when the source is first loaded. `milliseconds` count from 1970.
    Raises ValueError if the milliseconds do not fit 48 bits, or the number is not from 1 to 2^64 - 1.
    """
    if not 1 <= number <= MAX_LINES:
        message = "lines are counted from 1, in 64 bits"
        raise ValueError(message)
    return _record_id(milliseconds, _of_lines(source_id).digest(number.to_bytes(8, "big")))


@functools.lru_cache(maxsize=8)
def _of_lines(source_id: uuid.UUID) -> PrefixedSha256:
    return PrefixedSha256(_LINE_LABEL, source_id.bytes)


def first_millisecond(day: dt.date) -> int:
    """Return midnight, UTC, at the beginning of a day, in milliseconds since 1970: negative before 1970."""
    return (day - FIRST_DAY) // dt.timedelta(milliseconds=1)


def milliseconds_of(record_id: uuid.UUID) -> int:
    """Return the time in a record id, in milliseconds since 1970."""
    return record_id.int >> 80


def _record_id(milliseconds: int, digest: bytes) -> uuid.UUID:
    if not 0 <= milliseconds <= MAX_MILLISECONDS:
        message = "the time of a record id does not fit 48 bits"
        raise ValueError(message)
    made = milliseconds << 80 | int.from_bytes(digest[:10], "big")
    return uuid_of(made & _RANDOM | _VERSION_AND_VARIANT)
