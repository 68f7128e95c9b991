"""Text that a person reads as it is."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = re.compile(
    "[\0-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
"""What no text of an entry holds: `audit_is_text` in migrations/0004_audit.sql has the same list.

Controls, blanks other than U+0020, changes of direction, what has no width, and noncharacters. NUL
and surrogates, which Postgres does not take, are in it too.
"""
