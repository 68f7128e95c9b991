"""The canonical form of a personal value: what its token is made from.

Two spellings of one address or device must give one token, and nothing else may: not today, and not
after an upgrade of Python. Nothing here follows the interpreter's version of Unicode or of `ipaddress`.
This module and what it imports need the standard library alone, so that any Python can check it.
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
"""Four numbers of up to three digits. What is over 255 is no byte, which is a ValueError too."""
_IPV6: Final = re.compile(f"[0-9A-Fa-f:]*(?:{_DOTTED})?")
"""All that `ipaddress` is asked about: its releases differ in leading zeros, zone ids and lengths."""


def canonical(field: Field, value: Pii) -> bytes:
    """The bytes that the token of `value` is made from.

    Raises ValueError, without the value, if the field cannot hold it.
    """
    try:
        return _CANONICAL[field](value.expose().decode())
    except ValueError:
        message = f"not a canonical {field}"
        raise ValueError(message) from None


def canonical_ip(text: str) -> bytes:
    """16 bytes: an IPv6 address packed, an IPv4 one as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

    An IPv4-mapped address is its IPv4 address; no other IPv6 form is folded. U+0020 around it is
    stripped. Raises ValueError for leading zeros, octal, hex, ports, lists, zone ids, CIDR and
    full-width digits.
    """
    text = text.strip(" ")
    if _IPV4.fullmatch(text):
        return _IPV4_MAPPED_PREFIX + bytes(map(int, text.split(".")))
    if _IPV6.fullmatch(text):
        return ipaddress.IPv6Address(text).packed
    message = "not the text of one address"
    raise ValueError(message)


def canonical_device_id(text: str) -> bytes:
    """UTF-8 of the text in NFC of Unicode 3.2's characters, stripped of white space, case kept.

    Raises ValueError if nothing is to be seen of it: blanks must not become one giant duplicate.
    """
    if is_blank(text):
        message = "a blank device id"
        raise ValueError(message)
    return _composed(text).strip(WHITE_SPACE).encode()


def _composed(text: str) -> str:
    """NFC of each run of characters that Unicode 3.2 knew; others stay, and nothing moves past them.

    Unicode promises (UAX 15, section 3, since 4.1) that NFC of characters once assigned never changes.
    Of later ones this interpreter may know nothing yet. `ucd_3_2_0.normalize` is no help: it takes
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
    """Whether Unicode 3.2 assigned it: frozen in the standard library, which keeps it for IDNA."""
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
"""White_Space of Unicode 16, and the separators U+001C to U+001F: what Python 3.11 to 3.14 strip."""

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
"""Controls, and what shows nothing of itself: Default_Ignorable_Code_Point of Unicode 16, U+2800, U+1D159."""

_BLANK: Final = re.compile(f"[{re.escape(WHITE_SPACE)}{_INVISIBLE}]*")


def is_blank(text: str) -> bool:
    """Whether nothing of `text` is to be seen: it is empty, or all white space and invisibles."""
    # ASCII that shows is what nearly all texts begin with, and takes no search.
    return not "!" <= text[:1] <= "~" and _BLANK.fullmatch(text) is not None
