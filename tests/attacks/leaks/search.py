"""A search for values in whatever was written: as text, as hex, and inside base64.

No find is by chance. An address has three dots and a device id is 3-2-4 digits, which no UUID, date
or version can contain. In hex the shortest value is 14 digits, in base64 9 characters (what is left
of 7 bytes when those that depend on the neighbours are cut off): a random text of 10 MB contains one
of 200 such values with a probability below 10^-6.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable, Iterator

SHORTEST_BYTES = 7
URL_SAFE = str.maketrans("+/", "-_")


def found(values: Iterable[str], haystack: bytes) -> set[tuple[str, str]]:
    """Return the values that the haystack contains, each with its form. Hex is found in either case."""
    folded = haystack.translate(bytes.maketrans(b"ABCDEF", b"abcdef"))
    return {
        (value, form)
        for value in values
        for form, needle in forms(value)
        if needle in (folded if form == "hex" else haystack)
    }


def forms(value: str) -> Iterator[tuple[str, bytes]]:
    """The forms of a value. Raises ValueError for one so short that it could be found by chance."""
    plain = value.encode()
    if len(plain) < SHORTEST_BYTES:
        raise ValueError("too short to search for")
    yield "text", plain
    yield "hex", plain.hex().encode()
    for before in range(3):
        inner = base64_inside(plain, before)
        yield "base64", inner.encode()
        yield "base64", inner.translate(URL_SAFE).encode()


def base64_inside(plain: bytes, before: int) -> str:
    """The characters that base64 of a longer text shows of `plain`, if 3·n + `before` bytes precede `plain`.

    The characters that depend on the bytes before and behind it are left out.
    """
    encoded = base64.b64encode(bytes(before) + plain).decode()
    first = -(-8 * before // 6)
    end = 8 * (before + len(plain)) // 6
    assert set(encoded[first:end]) <= set(string.ascii_letters + string.digits + "+/")
    return encoded[first:end]
