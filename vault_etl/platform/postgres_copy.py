"""Rows in the binary format of COPY (PostgreSQL manual, COPY, "Binary Format")."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
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
    out = bytearray(HEADER)
    for row in rows:
        out += len(row).to_bytes(2, "big")
        for value in row:
            if value is None:
                out += _NULL
                continue
            encoded = _encoded(value)
            out += len(encoded).to_bytes(4, "big")
            out += encoded
    return bytes(out + TRAILER)


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


_LENGTH: Final = struct.Struct(">i")


def tuples_of(content: bytes) -> bytes:
    """What COPY wrote, without its header and trailer. Raises ValueError if these are not there."""
    if not content.startswith(HEADER) or not content.endswith(TRAILER):
        raise _malformed()
    return content[len(HEADER) : -len(TRAILER)]


def columns_of(tuples: bytes, number: int) -> list[list[bytes | None]]:
    """The values of whole tuples by column; None for NULL. Raises ValueError for anything else."""
    columns: list[list[bytes | None]] = [[] for _ in range(number)]
    appends = [column.append for column in columns]
    count = number.to_bytes(2, "big")
    length_at = _LENGTH.unpack_from
    at, end = 0, len(tuples)
    try:
        while at < end:
            if tuples[at : at + 2] != count:
                raise _malformed()
            at += 2
            for append in appends:
                (length,) = length_at(tuples, at)
                at += 4
                if length < 0:
                    append(None)
                else:
                    append(tuples[at : at + length])
                    at += length
    except struct.error:
        raise _malformed() from None
    if at != end:
        raise _malformed()
    return columns


def tuples_from(columns: Sequence[Iterable[bytes | None]]) -> bytes:
    """The tuples of these columns, which are of one length."""
    count = len(columns).to_bytes(2, "big")
    pack = _LENGTH.pack
    out = []
    for row in zip(*columns, strict=True):
        out.append(count)
        for value in row:
            if value is None:
                out.append(_NULL)
            else:
                out.append(pack(len(value)))
                out.append(value)
    return b"".join(out)


def _malformed() -> ValueError:
    return ValueError("it is not COPY's binary format")
