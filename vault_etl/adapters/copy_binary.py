"""Rows in the binary format of COPY (PostgreSQL manual, COPY, "Binary Format")."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = dt.date(2000, 1, 1).toordinal()


def copy_binary(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows, header and trailer included.

    uuid.UUID goes to uuid, str to text, bytes to bytea, int to smallint, date to date, None to
    NULL. Raises TypeError for anything else, a `Pii` among them.
    """
    out = bytearray(_HEADER)
    for row in rows:
        out += len(row).to_bytes(2, "big")
        for value in row:
            if value is None:
                out += _NULL
                continue
            encoded = _encoded(value)
            out += len(encoded).to_bytes(4, "big")
            out += encoded
    return bytes(out + _TRAILER)


def _encoded(value: object) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return struct.pack(">h", value)
    if isinstance(value, dt.date):
        return struct.pack(">i", value.toordinal() - _EPOCH)
    message = f"{type(value).__name__} has no place in a row"
    raise TypeError(message)
