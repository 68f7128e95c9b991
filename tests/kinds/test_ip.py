"""The kind `ip`: two spellings of one address agree, and nothing else does."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.kinds.ip import IP, canonical_ip

IPV4 = bytes(10) + b"\xff\xff" + bytes((198, 51, 100, 7))
IPV6 = bytes.fromhex("20010db8000000000000000000000001")

SAME_IPV4 = [
    "198.51.100.7",
    "  198.51.100.7",
    "198.51.100.7 ",
    "::ffff:198.51.100.7",
    "::FFFF:c633:6407",
    "0:0:0:0:0:ffff:C633:6407",
    " ::ffff:198.51.100.7 ",
]
SAME_IPV6 = [
    "2001:db8::1",
    "2001:DB8::1",
    "2001:0db8:0000:0000:0000:0000:0000:0001",
    "2001:db8:0:0:0:0:0:1",
    "2001:db8::0.0.0.1",
    " 2001:db8::1 ",
]
NOT_FOLDED = [
    "::198.51.100.7",  # IPv4-compatible, deprecated
    "64:ff9b::198.51.100.7",  # NAT64
    "64:ff9b:1::198.51.100.7",
    "2002:c633:6407::",  # 6to4
    "::ffff:0:198.51.100.7",  # IPv4-translated
    "2001:0:c633:6407::",  # Teredo
    "fe80::198.51.100.7",
]
ORDINARY = ["10.0.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1"]  # noqa: S104 - data
REJECTED = {
    "empty": "",
    "blank": "   ",
    "leading zero": "198.051.100.7",
    "leading zeros": "0198.51.100.7",
    "leading zero in the last part": "198.51.100.07",
    "leading zero in a mapped address": "::ffff:198.051.100.7",
    "octal": "0306.0063.0144.0007",
    "octal, Python's own": "0o306.51.100.7",
    "hex": "0xc6.0x33.0x64.0x07",
    "hex in one": "0xC6336407",
    "decimal in one": "3325256711",
    "three parts": "198.51.25607",
    "five parts": "198.51.100.7.1",
    "trailing dot": "198.51.100.7.",
    "out of range": "198.51.100.256",
    "negative": "198.51.100.-7",
    "plus": "+198.51.100.7",
    "underscore": "1_9_8.51.100.7",
    "port": "198.51.100.7:443",
    "port behind brackets": "[2001:db8::1]:443",
    "brackets": "[2001:db8::1]",
    "list": "198.51.100.7, 203.0.113.9",
    "list by spaces": "198.51.100.7 203.0.113.9",
    "inner space": "198.51. 100.7",
    "zone id": "fe80::1%eth0",
    "zone id of an index": "fe80::1%1",
    "empty zone id": "fe80::1%",
    "zone id on IPv4": "198.51.100.7%eth0",
    "CIDR": "198.51.100.7/32",
    "CIDR of IPv6": "2001:db8::1/128",
    "netmask": "198.51.100.7/255.255.255.255",
    "full-width digits": "\uff11\uff19\uff18.51.100.7",
    "full-width digits in IPv6": "2001:db8::\uff11",
    "full-width stop": "198\uff0e51\uff0e100\uff0e7",
    "ideographic stop": "198\u300251\u3002100\u30027",
    "Arabic-Indic digits": "\u0661\u0669\u0668.51.100.7",
    "superscript": "198.51.100.\u00b2",
    "tab": "\t198.51.100.7",
    "newline": "198.51.100.7\n",
    "carriage return": "198.51.100.7\r",
    "no-break space": "\u00a0198.51.100.7",
    "ideographic space": "198.51.100.7\u3000",
    "zero-width space": "198.51.100.7\u200b",
    "byte order mark": "\ufeff198.51.100.7",
    "NUL": "198.51.100.7\x00",
    "name": "localhost",
    "two compressions": "2001::db8::1",
    "five hex digits": "2001:db8::00001",
    "seven groups": "1:2:3:4:5:6:7",
    "nine groups": "1:2:3:4:5:6:7:8:9",
    "no hex": "2001:db8::g",
}


@pytest.mark.parametrize("text", SAME_IPV4)
def test_every_spelling_of_an_ipv4_address_is_one(text: str) -> None:
    """An IPv4 address, mapped into IPv6 or not, is ::ffff:a.b.c.d in 16 bytes."""
    assert canonical_ip(text) == IPV4


@pytest.mark.parametrize("text", SAME_IPV6)
def test_every_spelling_of_an_ipv6_address_is_one(text: str) -> None:
    """An IPv6 address is its 16 bytes, however it is abbreviated."""
    assert canonical_ip(text) == IPV6


@pytest.mark.parametrize("text", NOT_FOLDED)
def test_no_other_ipv6_form_is_folded(text: str) -> None:
    """An address that only embeds an IPv4 address is another address."""
    assert canonical_ip(text) == ipaddress.IPv6Address(text).packed
    assert canonical_ip(text) != IPV4


@pytest.mark.parametrize("text", ORDINARY)
def test_private_loopback_and_reserved_addresses_are_addresses(text: str) -> None:
    """The use of an address is no reason to refuse it."""
    assert len(canonical_ip(text)) == 16


@pytest.mark.parametrize("text", REJECTED.values(), ids=REJECTED.keys())
def test_text_that_is_not_a_plain_address_is_rejected(text: str) -> None:
    """Each of these was accepted as an address by some library, and is refused here."""
    with pytest.raises(ValueError):  # noqa: PT011 - ipaddress words it in many ways
        canonical_ip(text)


@given(st.ip_addresses())
def test_the_canonical_address_is_the_packed_one(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Every address becomes 16 bytes that state the same, so distinct addresses stay distinct."""
    packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    assert canonical_ip(str(address)) == packed


@given(st.from_regex(r"[0-9]{1,4}(\.[0-9]{0,4}){2,4}", fullmatch=True))
def test_an_ipv4_address_is_four_numbers_without_leading_zeros(text: str) -> None:
    """Of all texts of digits and dots, those of four numbers up to 255 are addresses, each in one spelling."""
    parts = text.split(".")
    octets = [int(part) for part in parts if part and str(int(part)) == part]
    if len(parts) == len(octets) == 4 and max(octets) <= 255:
        assert canonical_ip(text) == bytes(10) + b"\xff\xff" + bytes(octets)
    else:
        with pytest.raises(ValueError, match="not the text of one address") as raised:
            canonical_ip(text)
        assert raised.value.__context__ is None  # it would have the value


@given(st.binary(min_size=16, max_size=16))
def test_the_canonical_address_is_idempotent(packed: bytes) -> None:
    """The text of a canonical form has the same canonical form."""
    assert canonical_ip(str(ipaddress.IPv6Address(packed))) == packed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("203.0.113.7", "*.*.*.7"),
        (" 203.0.113.207 ", "*.*.*.207"),
        ("::ffff:203.0.113.7", "*.*.*.7"),
        ("2001:db8::a07", "*:*07"),
    ],
)
def test_the_mask_of_an_address_is_its_last_octet(value: str, shown: str) -> None:
    """An IPv4 address shows the octet in decimal, and an IPv6 address in hex."""
    assert IP.mask(value) == shown


@given(st.ip_addresses(v=4))
def test_addresses_that_differ_before_the_last_octet_look_alike(address: object) -> None:
    """The mask holds no other part of an address, and not its length."""
    last = str(address).rpartition(".")[2]
    assert IP.mask(str(address)) == f"*.*.*.{last}"


def test_text_that_is_not_an_address_has_no_mask() -> None:
    """Such text could be any value, and a mask would show it."""
    with pytest.raises(ValueError, match=r".+"):
        IP.mask("no-address-4711")
