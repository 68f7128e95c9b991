"""The kind `digits`: a number that is written in groups, such as that of a card, an account or a person.

No check digit is verified: each issuer has its own, and a number that was mistyped was still used.
"""

from __future__ import annotations

import re
from typing import Final

from vault_etl.kinds.kind import Kind
from vault_etl.kinds.text import mask_end

MAX_DIGITS: Final = 64
"""The most digits that a declaration may allow."""

_GROUPS: Final = re.compile("[0-9]+(?:[ .-]+[0-9]+)*")
_SEPARATORS: Final = str.maketrans("", "", " .-")
_UNSIGNED: Final = re.compile(rb"[0-9]+")
_MOST_ZEROS: Final = 19
"""The digits of the longest card number."""


def digits_kind(fewest: int, most: int) -> Kind:
    """Return the kind of numbers of so many digits."""

    def read(text: str) -> tuple[str, bytes]:
        form = canonical_digits(text)
        if fewest <= len(form) <= most:
            return text, form
        message = "too few or too many digits"
        raise ValueError(message)

    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return Kind(
        name="digits",
        version=1,
        options=(("max", most), ("min", fewest)),
        max_code_points=2 * MAX_DIGITS,
        reason="not_digits",
        reason_too_long="not_digits",
        hint=f"a value is a number of {count} digits, which spaces, dots and dashes may separate",
        read=read,
        canonical=canonical_digits,
        mask=_mask,
        is_ascii=True,
        numbers=_UNSIGNED,
        placeholders=tuple("0" * count for count in range(1, _MOST_ZEROS + 1)),
    )


def canonical_digits(text: str) -> bytes:
    """Return the ASCII of the digits, zeros at the front included.

    U+0020 around the number is stripped, and U+0020, `-` and `.` between digits are dropped. Raises ValueError
    for every other character, and for a separator before the first or after the last digit.
    """
    text = text.strip(" ")
    if _GROUPS.fullmatch(text):
        return text.translate(_SEPARATORS).encode("ascii")
    message = "not the text of one number"
    raise ValueError(message)


def _mask(text: str) -> str:
    return mask_end(canonical_digits(text).decode("ascii"))
