"""Text for people: hidden characters, numbers, ids, and the words for what a setting or an option takes."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Iterable
from enum import Enum
from typing import Final

HIDDEN: Final = re.compile(
    "[\0-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
"""Characters that no text of an entry holds: `audit_is_text` in migrations/0008_audit_log.sql has the same list.

Controls, blanks other than U+0020, changes of direction, characters without width, and noncharacters;
NUL and surrogates too, which Postgres does not store.
"""

_NUMBERS: Final[dict[type, re.Pattern[str]]] = {
    int: re.compile(r"[+-]?[0-9]+"),
    float: re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
_UUID: Final = re.compile(r"[0-9A-Fa-f-]{32,36}")
_EXAMPLES: Final[dict[object, str]] = {
    uuid.UUID: "an id such as 01a1fc29-ca31-7f16-a77c-58d57c39a400",
    dt.datetime: "a day or a time such as 2026-01-31 or 2026-01-31T12:00:00Z",
    bool: "true or false",
}


def number_of(
    kind: type[int | float],
    text: str,
    *,
    at_least: float | None,
    at_most: float | None,
    above: float | None = None,
) -> float:
    """Return the number that ASCII digits write, with a sign, and for a float a point and an exponent.

    Raises ValueError for a number out of bounds, and for other texts that Python takes: `1_000`, ` 1`, `\u0661`, `nan`.
    """
    if not _NUMBERS[kind].fullmatch(text):
        raise ValueError
    found = kind(text)
    is_high_enough = (at_least is None or found >= at_least) and (above is None or found > above)
    if abs(found) == math.inf or not is_high_enough or (at_most is not None and found > at_most):
        raise ValueError
    return found


def uuid_of(text: str) -> uuid.UUID:
    """Return the UUID that hexadecimal digits write, with or without hyphens. Raises ValueError.

    Python's own parser takes `_`, signs, blanks and digits of other scripts in the place of digits.
    """
    if not _UUID.fullmatch(text):
        raise ValueError
    return uuid.UUID(text)


def number(
    kind: type, *, at_least: float | None, at_most: float | None, above: float | None = None
) -> str:
    """Name a number of this kind (int or float) and its bounds, as they are typed."""
    what = "a whole number" if kind is int else "a number"
    low = None if at_least is None else str(at_least) if kind is int else f"{at_least:g}"
    high = None if at_most is None else str(at_most) if kind is int else f"{at_most:g}"
    if above is not None:
        low = f"above {above:g}"
        return f"{what} {low}" if high is None else f"{what} {low}, {high} at most"
    if low is not None and high is not None:
        return f"{what} from {low} to {high}"
    if low is not None:
        return f"{what} of {low} or more"
    return what if high is None else f"{what} of {high} at most"


def one_of(choices: Iterable[object]) -> str:
    """List the words to choose from."""
    words = [str(choice.value if isinstance(choice, Enum) else choice) for choice in choices]
    return " or ".join(words) if len(words) <= 2 else f"one of {', '.join(words)}"  # noqa: PLR2004


def such_as(kind: object) -> str:
    """Show an example of this type, if there is one."""
    return _EXAMPLES.get(kind, "another value")
