"""Rows in the binary format of COPY (PostgreSQL manual, COPY, "Binary Format")."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = dt.date(2000, 1, 1).toordinal()
_FIRST_MOMENT: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def copy_binary(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows, header and trailer included.

    uuid.UUID goes to uuid, str to text, bytes to bytea, int to smallint, date to date,
    datetime to timestamptz, None to NULL. Raises TypeError for anything else, a `Pii` or a datetime
    without a zone among them.
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
    encode = _ENCODERS.get(type(value))
    if encode is None:
        message = f"{type(value).__name__} has no place in a row"
        raise TypeError(message)
    return encode(value)


_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    uuid.UUID: lambda value: value.bytes,
    str: str.encode,
    bytes: bytes,
    int: struct.Struct(">h").pack,
    dt.date: lambda value: struct.pack(">i", value.toordinal() - _EPOCH),
    dt.datetime: lambda value: struct.pack(">q", (value - _FIRST_MOMENT) // _MICROSECOND),
}
"""By the exact type: nothing that only derives from one of them goes into a row."""
