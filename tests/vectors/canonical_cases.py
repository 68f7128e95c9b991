"""Cases of tokens: what has one canonical form, and what has none."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors import oracle

KEY: Final = bytes(range(32))
OTHER_KEY: Final = bytes(range(0xE0, 0x100))

# (text, why), where what is left without spaces is what inet_pton takes.
ADDRESSES: Final = (
    ("203.0.113.7", "an IPv4 address"),
    (" 203.0.113.7", "a space before it is stripped"),
    ("203.0.113.7  ", "spaces behind it are stripped"),
    ("::ffff:203.0.113.7", "an IPv4-mapped address is its IPv4 address"),
    ("::FFFF:CB00:7107", "the same address in hexadecimal and capitals"),
    ("0:0:0:0:0:ffff:203.0.113.7", "the same address, nothing left out"),
    ("203.0.113.8", "one bit away from it"),
    ("0.0.0.1", "the lowest that is no placeholder"),
    ("255.255.255.254", "the highest"),
    ("10.0.0.1", "a private address is an address"),
    ("127.0.0.2", "a loopback address is an address"),
    ("2001:db8::1", "an IPv6 address"),
    ("2001:DB8:0:0:0:0:0:1", "the same, written out and in capitals"),
    ("2001:0db8:0000:0000:0000:0000:0000:0001", "the same, with every zero"),
    ("::203.0.113.7", "an IPv4-compatible address is not its IPv4 address"),
    ("64:ff9b::203.0.113.7", "nor is a NAT64 one"),
    ("2002:cb00:7107::", "nor is a 6to4 one"),
    ("fe80::1", "a link-local address without a zone"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "the longest spelling"),
)

NO_ADDRESSES: Final = (
    ("", "nothing"),
    (" ", "a space"),
    ("203.0.113", "three numbers"),
    ("203.0.113.7.1", "five numbers"),
    ("203.0.113.256", "a number over 255"),
    ("203.0.113.-7", "a sign"),
    ("203.0.113.07", "a leading zero: octal to some, decimal to others"),
    ("0313.0.0161.7", "octal"),
    ("0xcb007107", "hexadecimal"),
    ("0xcb.0.0x71.7", "hexadecimal numbers"),
    ("3405803783", "one number"),
    ("203.0.28935", "a short form of inet_aton"),
    ("203.0.113.7:443", "a port"),
    ("[2001:db8::1]", "brackets"),
    ("[2001:db8::1]:443", "brackets and a port"),
    ("203.0.113.7, 10.0.0.1", "a list, as X-Forwarded-For has it"),
    ("203.0.113.0/24", "a network"),
    ("2001:db8::/32", "a network"),
    ("fe80::1%eth0", "a zone id"),
    ("2001:db8::1%1", "a zone id where none belongs"),
    ("2001:db8::1::", "two gaps"),
    ("2001:db8:1", "three groups"),
    ("1:2:3:4:5:6:7:8:9", "nine groups"),
    ("2001:db8::12345", "a group of five digits"),
    ("::ffff:203.0.113.07", "a leading zero in a mapped address"),
    ("\uff12\uff10\uff13.0.113.7", "full-width digits"),
    ("203\u30020\u3002113\u30027", "ideographic full stops"),
    ("\u0662\u0660\u0663.0.113.7", "Arabic-Indic digits"),
    ("203.0.113.7\n", "a line feed is no space"),
    ("\t203.0.113.7", "nor is a tab"),
    ("\u00a0203.0.113.7", "nor is a no-break space"),
    ("203.0. 113.7", "a space inside"),
    ("203.0.113.7\x00", "a NUL"),
    ("localhost", "a name"),
    ("unknown", "what proxies write when they do not know"),
)

# (text, canonical text, why): the canonical form is written out, for no library to decide.
DEVICES: Final = (
    ("Phone-1", "Phone-1", "as it is"),
    (" Phone-1\t", "Phone-1", "white space around it is stripped"),
    ("\u00a0\u2003Phone-1\u3000\u0085\x1f", "Phone-1", "and so is what Unicode calls white space"),
    ("phone-1", "phone-1", "case is kept"),
    ("Phone 1", "Phone 1", "white space inside is kept"),
    ("593-47-5928", "593-47-5928", "as in the sample events"),
    ("203.0.113.7", "203.0.113.7", "an address, but of a device: not the token that the ip has"),
    ("Caf\u00e9", "Caf\u00e9", "composed"),
    ("Cafe\u0301", "Caf\u00e9", "decomposed: NFC makes it one with the composed form"),
    ("\u1112\u1161\u11ab", "\ud55c", "Hangul is composed by rule"),
    ("\u212b", "\u00c5", "the angstrom sign is a letter with a ring"),
    ("\u0958", "\u0915\u093c", "a composition that Unicode excludes stays decomposed"),
    ("a\u0323\u0307", "\u1ea1\u0307", "marks in the order of their classes"),
    ("\ufb01x", "\ufb01x", "NFC, not NFKC: a ligature is kept"),
    ("\uff21", "\uff21", "and so is a full-width letter"),
    ("\u200bx\u200b", "\u200bx\u200b", "zero width is no white space"),
    ("\ufeffx", "\ufeffx", "a byte order mark is no white space"),
    ("\U0001f4f1", "\U0001f4f1", "four bytes of UTF-8"),
    ("1", "1", "one character"),
    ("unknown-1", "unknown-1", "a placeholder is a whole value, not a part of one"),
    ("\u200bnull", "\u200bnull", "nor one with something invisible before it"),
    ("\x00x", "\x00x", "a NUL has a token, though no event holds one"),
    ("ab\u200b", "ab\u200b", "an invisible character makes another value"),
    ("\u2764\ufe0f", "\u2764\ufe0f", "and so does a variation selector"),
    ("\U0002f868", "\u36fc", "as corrected in Unicode 4.0: 3.2 said U+2136A"),
    ("\u1e9e\u0301", "\u1e9e\u0301", "assigned in Unicode 5.1: it stays"),
    ("e\u0301\U0001f9ff", "\u00e9\U0001f9ff", "what stands beside a later character is composed"),
    (
        "a\U00010efd\u0301",
        "a\U00010efd\u0301",
        "a mark of Unicode 15: nothing moves past it, nor is composed across it",
    ),
    (
        "q\u0323\U0001e08f\u0307",
        "q\u0323\U0001e08f\u0307",
        "the same, where the marks around it are in order",
    ),
    ("\U00011099\U000110ba", "\U00011099\U000110ba", "a composition of Unicode 5.2 is none here"),
    ("\U00016d67\U00016d67", "\U00016d67\U00016d67", "nor is one of Unicode 16"),
    ("d" * 256, "d" * 256, "the longest that an event holds"),
)

# (field, text, canonical, why): the bytes of an address are written out.
PLACEHOLDERS: Final = (
    ("ip", "0.0.0.0", bytes(10) + b"\xff\xff" + bytes(4), "no address"),  # noqa: S104 - data
    ("ip", "255.255.255.255", bytes(10) + b"\xff" * 6, "broadcast"),
    ("ip", " 127.0.0.1", bytes(10) + b"\xff\xff\x7f\x00\x00\x01", "a proxy's own"),
    ("ip", "::ffff:7f00:1", bytes(10) + b"\xff\xff\x7f\x00\x00\x01", "the same, mapped"),
    ("ip", "::", bytes(16), "no IPv6 address"),
    ("ip", "0:0::1", bytes(15) + b"\x01", "IPv6 loopback"),
    ("device_id", "null", b"null", "what programs write for nothing"),
    ("device_id", "NULL", b"NULL", "in any case it is the same placeholder"),
    ("device_id", " Null\t", b"Null", "and with white space around it"),
    ("device_id", "0", b"0", "zero"),
    ("device_id", "-", b"-", "a dash"),
    ("device_id", "?", b"?", "a question mark"),
    ("device_id", "(null)", b"(null)", "Objective-C and C"),
    ("device_id", "<null>", b"<null>", "NSNull"),
    ("device_id", "[object Object]", b"[object Object]", "JavaScript"),
    ("device_id", "default", b"default", "a word"),
    ("device_id", "empty", b"empty", "a word"),
    ("device_id", "N/A", b"N/A", "a word"),
    ("device_id", "na", b"na", "a word"),
    ("device_id", "NaN", b"NaN", "not a number"),
    ("device_id", "nil", b"nil", "a word"),
    ("device_id", "None", b"None", "Python"),
    ("device_id", "not available", b"not available", "a word"),
    ("device_id", "undefined", b"undefined", "JavaScript"),
    ("device_id", "Unknown", b"Unknown", "a word"),
    ("device_id", "unset", b"unset", "a word"),
    ("device_id", f"{'0' * 8}-0000-0000-0000-{'0' * 12}", None, "the UUID of zeros"),
    ("device_id", f"{'F' * 8}-FFFF-FFFF-FFFF-{'F' * 12}", None, "the UUID of ones"),
    ("device_id", "0" * 32, None, "32 zeros"),
    ("device_id", "F" * 32, None, "32 times F"),
    ("device_id", "0" * 16, None, "16 zeros"),
    ("device_id", "0" * 15, None, "15 zeros: an emulator's IMEI"),
    ("device_id", "9774d56d682e549c", None, "the ANDROID_ID of many devices"),
    ("device_id", "02:00:00:00:00:00", None, "no hardware address"),
    ("device_id", "00:00:00:00:00:00", None, "no hardware address"),
    ("device_id", "FF:FF:FF:FF:FF:FF", None, "the broadcast address"),
)

NO_DEVICES: Final = (
    ("", "nothing"),
    (" ", "a space"),
    ("\t\r\n\x0b\x0c", "ASCII white space"),
    ("\x1c\x1d\x1e\x1f", "separators"),
    ("\u00a0\u1680\u2000\u2028\u2029\u202f\u205f\u3000\u0085", "all white space of Unicode"),
    ("\x00\x1b\x7f\u0080\u009f", "controls"),
    ("\u200b\u200c\u200d\u2060\u2064", "zero width"),
    ("\u200e\u200f\u061c\u202a\u202e\u2066\u2069", "directions"),
    ("\ufeff", "a byte order mark"),
    ("\u00ad\u034f", "a soft hyphen and a grapheme joiner"),
    ("\u115f\u1160\u3164\uffa0", "Hangul fillers"),
    ("\u17b4\u17b5\u180b\u180e\u180f", "Khmer and Mongolian invisibles"),
    ("\u2800", "a braille pattern without dots"),
    ("\ufe00\ufe0f\U000e0100\U000e01ef", "variation selectors"),
    ("\U000e0001\U000e0041\U000e007f", "tags"),
    ("\U0001d159\U0001d173\U0001bca0", "musical and shorthand invisibles"),
    (" \u200b\u00a0\ufeff\t", "white space and invisibles in turn"),
)

NO_TEXT: Final = (
    (b"\xff", "not UTF-8"),
    (b"203.0.113.7\xc3", "UTF-8 that was cut off"),
    (b"\xc0\xb1", "an overlong digit"),
    (b"\xed\xa0\x80", "a surrogate"),
)


def token_cases() -> list[dict[str, Any]]:
    """All of them."""
    cases = [
        _token("ip", KEY, text, oracle.canonical_ip(text.strip(" ")), comment)
        for text, comment in ADDRESSES
    ]
    cases += [
        _token("device_id", KEY, text, canonical.encode(), comment)
        for text, canonical, comment in DEVICES
    ]
    cases += [
        _token(
            "ip", OTHER_KEY, "203.0.113.7", oracle.canonical_ip("203.0.113.7"), "under another key"
        ),
        _token("device_id", OTHER_KEY, "Phone-1", b"Phone-1", "under another key"),
    ]
    cases += [
        _placeholder(field, text, text.encode() if form is None else form, comment)
        for field, text, form, comment in PLACEHOLDERS
    ]
    cases += [_rejected("ip", text.encode(), comment) for text, comment in NO_ADDRESSES]
    cases += [_rejected("device_id", text.encode(), comment) for text, comment in NO_DEVICES]
    for field in ("ip", "device_id"):
        cases += [_rejected(field, value, comment) for value, comment in NO_TEXT]
    return cases


def _token(field: str, key: bytes, text: str, canonical: bytes, comment: str) -> dict[str, Any]:
    return {
        "expect": "token",
        "comment": comment,
        "field": field,
        "text": text,
        "value": text.encode().hex(),
        "key": key.hex(),
        "canonical": canonical.hex(),
        "token": str(oracle.token(key, field, canonical)),
    }


def _placeholder(field: str, text: str, canonical: bytes, comment: str) -> dict[str, Any]:
    return {
        "expect": "placeholder",
        "comment": comment,
        "field": field,
        "text": text,
        "value": text.encode().hex(),
        "canonical": canonical.hex(),
        "token": str(oracle.placeholder_token(field, canonical)),
    }


def _rejected(field: str, value: bytes, comment: str) -> dict[str, Any]:
    return {"expect": "rejected", "comment": comment, "field": field, "value": value.hex()}
