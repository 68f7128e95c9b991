"""The kind `text`: any text that is not blank, such as a device id."""

from __future__ import annotations

import contextlib
import itertools
import unicodedata
from typing import Final

from vault_etl.kinds.blank import WHITE_SPACE, is_blank
from vault_etl.kinds.kind import WHOLE_NUMBER, Kind

_SHOWN_CHARACTERS: Final = 2
_SHORTEST: Final = 8
"""Values shorter than this are masked completely."""


def text_kind(longest: int) -> Kind:
    """Return the kind of texts of at most so many code points."""
    return Kind(
        name="text",
        version=1,
        options=(("max", longest),),
        max_code_points=longest,
        reason="field_empty",
        reason_too_long="field_too_long",
        hint="a value is text that is not blank, in UTF-8",
        read=_read,
        canonical=canonical_text,
        mask=mask_end,
        numbers=WHOLE_NUMBER,
        placeholders=_PLACEHOLDERS,
    )


def canonical_text(text: str) -> bytes:
    """Return the UTF-8 of the text: NFC over the characters of Unicode 3.2, white space stripped, case kept.

    Raises ValueError if the text shows nothing: all blank ids would be one giant duplicate.
    """
    if is_blank(text):
        message = "blank text"
        raise ValueError(message)
    if text.isascii():
        return text.strip(WHITE_SPACE).encode()
    with contextlib.suppress(UnicodeEncodeError):  # which holds the value
        return composed(text).strip(WHITE_SPACE).encode()
    message = "text with a lone surrogate"
    raise ValueError(message)


def composed(text: str) -> str:
    """Compose (NFC) each run of characters of Unicode 3.2. Later characters stay, and nothing moves past them.

    Unicode promises (UAX 15, section 3, since 4.1) that the NFC of assigned characters never changes.
    An interpreter may not know later characters. `ucd_3_2_0.normalize` does not help: it takes
    combining classes and compositions from the interpreter's own Unicode.
    """
    if text.isascii():
        return text
    return "".join(
        unicodedata.normalize("NFC", run) if known else run
        for known, characters in itertools.groupby(text, is_old)
        for run in ("".join(characters),)
    )


def is_old(character: str) -> bool:
    """Tell whether Unicode 3.2 assigned the character. The standard library keeps that version, for IDNA."""
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


def mask_end(text: str) -> str:
    """Show the last two characters after a star: its one length tells nothing. A short text shows nothing."""
    return "*" + (text[-_SHOWN_CHARACTERS:] if len(text) >= _SHORTEST else "")


def _read(text: str) -> tuple[str, bytes]:
    return text, canonical_text(text)


_PLACEHOLDERS: Final = (
    "0",
    "-",
    "?",
    "(null)",
    "<null>",
    "[object object]",
    "default",
    "empty",
    "n/a",
    "na",
    "nan",
    "nil",
    "none",
    "not available",
    "null",
    "undefined",
    "unknown",
    "unset",
    "00000000-0000-0000-0000-000000000000",  # Android and iOS: no advertising id
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00000000000000000000000000000000",
    "ffffffffffffffffffffffffffffffff",
    "0000000000000000",
    "000000000000000",  # the IMEI of Android's emulator
    "9774d56d682e549c",  # the ANDROID_ID that a defect gave to many devices
    "02:00:00:00:00:00",  # mobile systems return it instead of a hardware address
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
)
