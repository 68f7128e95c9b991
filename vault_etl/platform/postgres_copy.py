"""COPY's binary format (PostgreSQL manual, COPY, "Binary Format"): rows encoded, and tuples taken apart."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_LENGTH: Final = struct.Struct(">i")
_EPOCH: Final = dt.date(2000, 1, 1).toordinal()
_FIRST_MOMENT: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


class BigInt(int):
    """A number for a column of type bigint: an int is a smallint."""


def copy_binary(rows: Iterable[Sequence[object]]) -> bytes:
    """Encode the rows, with header and trailer. Raises as `copy_columns` does."""
    return copy_columns(list(zip(*rows, strict=True)))


def copy_columns(columns: Sequence[Sequence[object]]) -> bytes:
    """Encode columns of equal length as rows, with header and trailer.

    A column has values of one type, or None: uuid.UUID becomes uuid, str text, bytes bytea, int smallint, BigInt
    bigint, Decimal numeric, bool boolean, date date, datetime timestamptz, None NULL. Raises TypeError for any
    other type, such as `Pii`, for two types in a column, and for a datetime without a zone.
    """
    count = len(columns).to_bytes(2, "big")
    rows = zip(itertools.repeat(count), *map(_encoded, columns)) if columns else ()
    return b"".join((HEADER, *itertools.chain.from_iterable(rows), TRAILER))


def _encoded(column: Sequence[object]) -> list[bytes]:
    """Encode each value, behind its length. Equal texts and days of a long column are encoded once."""
    kinds = set(map(type, column)) - {type(None)}
    for kind in kinds:
        if kind not in _ENCODERS or len(kinds) > 1:
            message = f"{kind.__name__} cannot be stored in a row"
            raise TypeError(message)
    if not kinds:
        return [_NULL] * len(column)
    encode = _ENCODERS[kinds.pop()]
    distinct = set(column) if encode in _REPEATED else ()
    if 0 < len(distinct) <= len(column) // 2:
        found = {value: _NULL if value is None else encode(value) for value in distinct}
        return [found[value] for value in column]
    return [_NULL if value is None else encode(value) for value in column]


def _field(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content


def _numeric(value: Decimal) -> bytes:
    """Encode a finite number, whose digits are to the base of 10,000 (numeric_send in PostgreSQL's numeric.c)."""
    whole, _, fraction = f"{value.copy_abs():f}".partition(".")
    scale = len(fraction)
    whole = whole.zfill(-(-len(whole) // _DIGITS) * _DIGITS)
    fraction = fraction.ljust(-(-len(fraction) // _DIGITS) * _DIGITS, "0")
    weight = len(whole) // _DIGITS - 1
    text = whole + fraction
    groups = [int(text[at : at + _DIGITS]) for at in range(0, len(text), _DIGITS)]
    while groups and not groups[0]:
        del groups[0]
        weight -= 1
    while groups and not groups[-1]:
        del groups[-1]
    return struct.pack(
        f">HhHH{len(groups)}H",
        len(groups),
        weight if groups else 0,
        _NEGATIVE if value.is_signed() and groups else 0,
        scale,
        *groups,
    )


_DIGITS: Final = 4
"""Decimal digits of a digit of `numeric`."""
_NEGATIVE: Final = 0x4000

_UUID_BYTES: Final = 16
_UUID_LENGTH: Final = _LENGTH.pack(_UUID_BYTES)

_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    uuid.UUID: lambda value: _UUID_LENGTH + value.int.to_bytes(_UUID_BYTES, "big"),
    str: lambda value: _field(value.encode()),
    bytes: _field,
    int: functools.partial(struct.Struct(">ih").pack, 2),
    BigInt: functools.partial(struct.Struct(">iq").pack, 8),
    Decimal: lambda value: _field(_numeric(value)),
    bool: functools.partial(struct.Struct(">i?").pack, 1),
    dt.date: lambda value: struct.pack(">ii", 4, value.toordinal() - _EPOCH),
    dt.datetime: lambda value: struct.pack(">iq", 8, (value - _FIRST_MOMENT) // _MICROSECOND),
}
"""Encoders of a value behind its length, by the exact type: a subclass is refused."""

_REPEATED: Final = [_ENCODERS[kind] for kind in (str, int, bool, dt.date)]
"""The encoders of types whose values are often equal in the rows of one event."""


def tuples_of(content: bytes) -> bytes:
    """Return the output of COPY without header and trailer. Raises ValueError if one of them is missing."""
    if not content.startswith(HEADER) or not content.endswith(TRAILER):
        raise _malformed()
    return content[len(HEADER) : -len(TRAILER)]


def columns_of(tuples: bytes, number: int) -> list[list[bytes | None]]:
    """Return the values of whole tuples by column; None for NULL. Raises ValueError for malformed bytes."""
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
    """Encode columns of equal length as tuples."""
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
    return ValueError("these bytes are not COPY's binary format")
