"""The canonical form of a personal value: what its token is made from.

Two spellings of one address or device must give one token, and nothing else may.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.core.fields import Field
from vault_etl.core.pii import Pii

_IPV4_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"


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
    if "%" in text:
        message = "an address with a zone id"
        raise ValueError(message)
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return _IPV4_MAPPED_PREFIX + address.packed
    return address.packed


def canonical_device_id(text: str) -> bytes:
    """UTF-8 of the text in NFC, stripped of white space, case kept.

    Raises ValueError if nothing is left: blanks must not become one giant duplicate.
    """
    stripped = unicodedata.normalize("NFC", text).strip()
    if not stripped:
        message = "a blank device id"
        raise ValueError(message)
    return stripped.encode()


_CANONICAL: Final[Mapping[Field, Callable[[str], bytes]]] = {
    Field.IP: canonical_ip,
    Field.DEVICE_ID: canonical_device_id,
}
