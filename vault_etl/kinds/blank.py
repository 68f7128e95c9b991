"""Text that shows nothing, by fixed sets of code points: no later Unicode changes the answer."""

from __future__ import annotations

import re
from typing import Final

WHITE_SPACE: Final = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White_Space of Unicode 16 and the separators U+001C to U+001F: the set that Python 3.11 to 3.14 strip."""

_INVISIBLE: Final = (
    "\x00-\x1f\x7f-\x9f"  # controls
    "\xad\u034f\u061c"  # soft hyphen, combining grapheme joiner, Arabic letter mark
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer inherent vowels
    "\u180b-\u180f"  # Mongolian variation selectors, vowel separator
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # zero width, joiners, directions, invisible operators
    "\u2800"  # braille blank
    "\ufe00-\ufe0f"  # variation selectors
    "\ufeff\ufff0-\ufffb"  # byte order mark, reserved invisibles, interlinear annotation
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"  # shorthand and musical format controls
    "\U000e0000-\U000e0fff"  # tags, further variation selectors, reserved invisibles
)
"""Controls and invisible characters: Default_Ignorable_Code_Point of Unicode 16, U+2800 and U+1D159."""

BLANK_CHARACTERS: Final = re.escape(WHITE_SPACE) + _INVISIBLE
"""Both sets, for a class of a regular expression."""

_BLANK: Final = re.compile(f"[{BLANK_CHARACTERS}]*")


def is_blank(text: str) -> bool:
    """Tell whether `text` shows nothing: it is empty, or has white space and invisible characters alone."""
    # Nearly all texts begin with visible ASCII: no search is needed.
    return not "!" <= text[:1] <= "~" and _BLANK.fullmatch(text) is not None
