"""The type `numeric` of PostgreSQL: its binary format, and the text that PostgreSQL writes for the same value.

The binary format is four `int16` in big-endian: how many digits, the weight of the first, the sign, the decimal places
that are shown. Then come the digits to the base 10,000, without zeros at either end (`numeric_send` in PostgreSQL's
`numeric.c`).
"""

from __future__ import annotations

import re
import struct
from typing import Final

_HEAD: Final = struct.Struct(">HhHH")
_TEXT: Final = re.compile(rb"(?P<minus>-?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?")
_WIDTH: Final = 4
"""Decimal digits in one digit to the base 10,000."""
_MINUS: Final = 0x4000
_SIGNS: Final = {0: b"", _MINUS: b"-"}


def numeric_text(value: bytes) -> bytes:
    """Return the text of a value. Raises ValueError for `NaN`, for an infinity, and for malformed bytes."""
    try:
        count, weight, sign, places = _HEAD.unpack_from(value)
        digits = struct.unpack_from(f">{count}H", value, _HEAD.size)
    except struct.error:
        raise _malformed() from None
    if sign not in _SIGNS:
        raise _malformed()
    decimals = b"".join(b"%04d" % digit for digit in digits)
    point = _WIDTH * (weight + 1)  # where the fraction begins
    whole = decimals[: max(point, 0)].ljust(point, b"0").lstrip(b"0") or b"0"
    fraction = (b"0" * max(-point, 0) + decimals[max(point, 0) :]).ljust(places, b"0")
    text = _SIGNS[sign] + whole + (b"." + fraction[:places] if places else b"")
    if numeric_value(text) != value:
        raise _malformed()
    return text


def numeric_value(text: bytes) -> bytes:
    """Return the value of a text that `numeric_text` made. Raises ValueError for another text."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise _malformed()
    whole, fraction = found["whole"].lstrip(b"0"), found["fraction"] or b""
    groups = -(-len(whole) // _WIDTH)
    decimals = whole.rjust(_WIDTH * groups, b"0") + fraction
    decimals += b"0" * (-len(decimals) % _WIDTH)
    digits = [int(decimals[at : at + _WIDTH]) for at in range(0, len(decimals), _WIDTH)]
    weight = groups - 1
    while digits and not digits[0]:
        del digits[0]
        weight -= 1
    while digits and not digits[-1]:
        del digits[-1]
    sign = _MINUS if found["minus"] else 0
    head = _HEAD.pack(len(digits), weight if digits else 0, sign, len(fraction))
    return head + struct.pack(f">{len(digits)}H", *digits)


def _malformed() -> ValueError:
    return ValueError("these bytes are not a number")
