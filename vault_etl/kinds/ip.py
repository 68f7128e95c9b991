"""The kind `ip`: one IPv4 or IPv6 address.

The patterns decide which texts are addresses, and not `ipaddress`: releases of Python differ in leading
zeros, zone ids and lengths.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Final

from vault_etl.kinds.kind import DerivedForm, Kind

_IPV4_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"

_NUMBER: Final = "(?:0|[1-9][0-9]{0,2})"
_DOTTED: Final = rf"{_NUMBER}(?:\.{_NUMBER}){{3}}"
_IPV4: Final = re.compile(_DOTTED)
_OCTETS: Final = {str(octet): bytes([octet]) for octet in range(256)}
"""The bytes of an IPv4 address by their only spellings. A pattern and `int` take three times as long."""
_IPV6: Final = re.compile(f"[0-9A-Fa-f:]*(?:{_DOTTED})?")
"""The only texts that `ipaddress` parses."""


def canonical_ip(text: str) -> bytes:
    """Return 16 bytes: an IPv6 address packed, or an IPv4 address as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

    An IPv4-mapped IPv6 address and its IPv4 address give the same bytes; no other forms are merged.
    U+0020 around the address is stripped. Raises ValueError for leading zeros, octal, hex, ports,
    lists, zone ids, CIDR and full-width digits.
    """
    text = text.strip(" ")
    if ":" not in text:
        try:
            a, b, c, d = text.split(".")
            return _IPV4_MAPPED_PREFIX + _OCTETS[a] + _OCTETS[b] + _OCTETS[c] + _OCTETS[d]
        except (KeyError, ValueError):  # whose text has the value
            pass
    elif _IPV6.fullmatch(text):
        with contextlib.suppress(ValueError):  # whose text has the value
            return ipaddress.IPv6Address(text).packed
    message = "not the text of one address"
    raise ValueError(message)


def _network(text: str) -> bytes:
    """Return the 16 bytes of the first address: of the /24 of an IPv4 address, of the /48 of an IPv6 address."""
    packed = canonical_ip(text)
    kept = 15 if _is_mapped(packed) else 6
    return packed[:kept] + bytes(16 - kept)


def _address_in(network: str) -> str:
    """Return an address of a network such as 198.51.100.0/24 or 2001:db8:1::/48."""
    address, _, length = network.strip(" ").partition("/")
    is_ipv4 = _IPV4.fullmatch(address) is not None
    if length == ("24" if is_ipv4 else "48") and (is_ipv4 or not _is_mapped(canonical_ip(address))):
        canonical_ip(address)
        return address
    message = "not the text of one network"
    raise ValueError(message)


def _is_mapped(packed: bytes) -> bool:
    return packed.startswith(_IPV4_MAPPED_PREFIX)


def _read(text: str) -> tuple[str, bytes]:
    return text, canonical_ip(text)


def _mask(text: str) -> str:
    """Show the last octet: of an IPv4 address in decimal, of an IPv6 address in hex."""
    packed = canonical_ip(text)
    if _is_mapped(packed):
        return f"*.*.*.{packed[-1]}"
    return f"*:*{packed[-1]:02x}"


IP: Final = Kind(
    name="ip",
    version=1,
    options=(),
    max_code_points=64,  # the longest IPv6 address has 45; the rest allows spaces around it
    reason="not_an_address",
    reason_too_long="not_an_address",
    hint="a value is one IPv4 or IPv6 address, without port or zone, or a range of addresses",
    read=_read,
    canonical=canonical_ip,
    mask=_mask,
    placeholders=("0.0.0.0", "255.255.255.255", "127.0.0.1", "::", "::1"),  # noqa: S104 - data
    is_ascii=True,
    derived=(
        DerivedForm(
            name="network",
            leaks="records of one /24 (IPv4) or /48 (IPv6) network have equal tokens: a rare token is a household,"
            " an office or a small provider, whose people are seen together",
            hint="a value is one address, or a whole network such as 198.51.100.0/24 or 2001:db8:1::/48",
            canonical=_network,
            value_of=_address_in,
        ),
    ),
)
