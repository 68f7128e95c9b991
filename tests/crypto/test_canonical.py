"""Canonical forms: two spellings of one value agree, and nothing else does."""

from __future__ import annotations

import ipaddress
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import (
    WHITE_SPACE,
    canonical,
    canonical_device_id,
    canonical_ip,
    is_blank,
)
from vault_etl.crypto.fields import Field

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


@given(st.binary(min_size=16, max_size=16))
def test_the_canonical_address_is_idempotent(packed: bytes) -> None:
    """The text of a canonical form has the same canonical form."""
    assert canonical_ip(str(ipaddress.IPv6Address(packed))) == packed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9", "Jose\u0301"),
        ("\u212b", "\u00c5"),
        ("593-47-5928", " \t593-47-5928\r\n"),
        ("593-47-5928", "\u00a0593-47-5928\u3000"),
    ],
)
def test_two_spellings_of_a_device_are_one_device(one: str, other: str) -> None:
    """Canonically equivalent text, and text with white space around it, are the same device."""
    assert canonical_device_id(one) == canonical_device_id(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ABC", "abc"),
        ("\ufb01", "fi"),  # compatibility, NFKC's business
        ("\uff11", "1"),
        ("a b", "ab"),
        ("stra\u00dfe", "strasse"),
        ("0593", "593"),
    ],
)
def test_two_devices_stay_two(one: str, other: str) -> None:
    """Case, inner spaces, compatibility forms and zeros tell devices apart."""
    assert canonical_device_id(one) != canonical_device_id(other)


def test_a_canonical_device_id_is_utf8_in_nfc() -> None:
    """The bytes are those of docs/design.md: NFC, stripped, UTF-8."""
    assert canonical_device_id("  e\u0301  ") == b"\xc3\xa9"


BLANK = ["", " ", "\t\r\n", "\u00a0", "\u2003\u3000", "\x1c\x1f\x85", "\u200b", "\ufeff \u3164"]


@pytest.mark.parametrize("text", BLANK)
def test_a_blank_device_id_is_rejected(text: str) -> None:
    """Blanks must not become one giant duplicate."""
    with pytest.raises(ValueError, match="blank"):
        canonical_device_id(text)


@given(st.text())
def test_the_canonical_device_id_is_idempotent(text: str) -> None:
    """Canonicalising twice changes nothing, and what is composed does not begin or end in white space."""
    try:
        once = canonical_device_id(text)
    except ValueError:
        assert is_blank(text)
        return
    assert canonical_device_id(once.decode()) == once
    assert once.decode() == once.decode().strip(WHITE_SPACE)
    assert is_blank(once.decode()) is False


@given(st.text(st.characters(max_codepoint=0x21F)))
def test_the_canonical_form_of_old_characters_is_nfc(text: str) -> None:
    """Characters of Unicode 3.2 are composed as every later version composes them."""
    if not is_blank(text):
        composed = unicodedata.normalize("NFC", text).strip(WHITE_SPACE)
        assert canonical_device_id(text) == composed.encode()


@pytest.mark.parametrize("text", ["a\U00010efd\u0301", "e\U0001e08f\u0301", "\U00016d67" * 2])
def test_later_characters_stay_as_they_are(text: str) -> None:
    """A character newer than Unicode 3.2 is not moved, composed, or composed across."""
    assert canonical_device_id(text) == text.encode()


def test_the_fixed_white_space_is_what_this_python_strips() -> None:
    """Today no space is missing from the set; a later Unicode may differ from it, and changes nothing."""
    for character in WHITE_SPACE:
        assert character.isspace()
        assert canonical_device_id(f"{character}x{character}") == b"x"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field.IP, b"not-an-address-4711"),
        (Field.IP, b"\xff\xfe4711"),
        (Field.DEVICE_ID, b"  "),
        (Field.DEVICE_ID, b"\xff\xfe4711"),
    ],
)
def test_a_rejection_does_not_tell_the_value(field: Field, value: bytes) -> None:
    """The error names the field alone, and no cause is shown with it."""
    with pytest.raises(ValueError, match=f"^not a canonical {field}$") as caught:
        canonical(field, Pii(value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_each_field_has_its_own_canonical_form() -> None:
    """The text of an address is a device id like any other, and is kept as it is."""
    value = Pii(b"198.51.100.7")
    assert canonical(Field.IP, value) == IPV4
    assert canonical(Field.DEVICE_ID, value) == b"198.51.100.7"
