"""Tuples of COPY's binary format (PostgreSQL manual, COPY, "Binary Format"), taken apart and put together."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
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
