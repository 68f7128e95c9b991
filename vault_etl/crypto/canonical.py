"""The canonical form of a personal value: the bytes that its token is made from.

Two spellings of one address or device must give one token, and two different values must not, also
after an upgrade of Python. So no rule here depends on the interpreter's version of Unicode or of
`ipaddress`: `str.strip()` does, and the sets of white space and invisible characters are written out.
This module and its imports need the standard library alone, so that any Python can check a form.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import Field

_IPV4_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"

_NUMBER: Final = "(?:0|[1-9][0-9]{0,2})"
_DOTTED: Final = rf"{_NUMBER}(?:\.{_NUMBER}){{3}}"
_IPV4: Final = re.compile(_DOTTED)
"""Four numbers of up to three digits. A number over 255 is not a byte, and `bytes` raises ValueError."""
_IPV6: Final = re.compile(f"[0-9A-Fa-f:]*(?:{_DOTTED})?")
"""The only texts that `ipaddress` parses: its versions differ in leading zeros, zone ids and lengths."""


def canonical(field: Field, value: Pii) -> bytes:
    """Return the bytes that the token of `value` is made from.

    Raises ValueError, without the value, if the field cannot hold the value.
    """
    try:
        return _CANONICAL[field](value.expose().decode())
    except ValueError:
        message = f"not a canonical {field}"
        raise ValueError(message) from None


def canonical_ip(text: str) -> bytes:
    """Return 16 bytes: an IPv6 address packed, or an IPv4 address as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

    An IPv4-mapped IPv6 address and its IPv4 address give the same bytes; no other forms are merged.
    U+0020 around the address is stripped. Raises ValueError for leading zeros, octal, hex, ports,
    lists, zone ids, CIDR and full-width digits.
    """
    text = text.strip(" ")
    if _IPV4.fullmatch(text):
        return _IPV4_MAPPED_PREFIX + bytes(map(int, text.split(".")))
    if _IPV6.fullmatch(text):
        return ipaddress.IPv6Address(text).packed
    message = "not the text of one address"
    raise ValueError(message)


def canonical_device_id(text: str) -> bytes:
    """Return the UTF-8 of the text: NFC over the characters of Unicode 3.2, white space stripped, case kept.

    Raises ValueError if the text shows nothing: all blank ids would be one giant duplicate.
    """
    if is_blank(text):
        message = "a blank device id"
        raise ValueError(message)
    return _composed(text).strip(WHITE_SPACE).encode()


def _composed(text: str) -> str:
    """Compose (NFC) each run of characters of Unicode 3.2. Later characters stay, and nothing moves past them.

    Unicode promises (UAX 15, section 3, since 4.1) that the NFC of assigned characters never changes.
    An interpreter may not know later characters. `ucd_3_2_0.normalize` does not help: it takes
    combining classes and compositions from the interpreter's own Unicode.
    """
    if text.isascii():
        return text
    return "".join(
        unicodedata.normalize("NFC", run) if known else run
        for known, characters in itertools.groupby(text, _known)
        for run in ("".join(characters),)
    )


def _known(character: str) -> bool:
    """Tell whether Unicode 3.2 assigned the character. The standard library keeps that version, for IDNA."""
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


_CANONICAL: Final[Mapping[Field, Callable[[str], bytes]]] = {
    Field.IP: canonical_ip,
    Field.DEVICE_ID: canonical_device_id,
}


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

_BLANK: Final = re.compile(f"[{re.escape(WHITE_SPACE)}{_INVISIBLE}]*")


def is_blank(text: str) -> bool:
    """Tell whether `text` shows nothing: it is empty, or has white space and invisible characters alone."""
    # Nearly all texts begin with visible ASCII: no search is needed.
    return not "!" <= text[:1] <= "~" and _BLANK.fullmatch(text) is not None
