"""Cases of padding, associated data and ciphertexts: a few that open, and every way not to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.vectors import oracle

RECORD: Final = uuid.UUID("019b76da-a87b-73e6-8074-f1e73a6ddeb4")
KEY: Final = bytes(range(0x20, 0x40))
KEY_ID: Final = 0x1BADCAFE
NONCE: Final = bytes(range(0x40, 0x4C))
"""One nonce for all, so that they are easy to compare. Nothing but vectors ever may."""

BY_TINK: Final = bytes.fromhex(
    "011badcafe221502a735ca06c41c88e027e3d2a3e7df5e63674243e64d42e981"
    "36596699cb3e94803b3727d1fd5a9f980e"
)
"""Written by Tink's AesGcmKey, which drew the nonce, with the output prefix TINK."""
TINKS_KEY: Final = bytes(range(0x80, 0xA0))
TINKS_VALUE: Final = b"593-47-5928"


@dataclass(frozen=True, slots=True)
class Found:
    """A ciphertext, the place it is found at, and the key that is tried."""

    stored: bytes = b""
    table: str = "user_logins"
    field: str = "ip"
    record_id: uuid.UUID = RECORD
    user_id: str = "u-1"
    key: bytes = KEY
    key_id: int = KEY_ID
    key_field: str = "ip"

    @property
    def associated_data(self) -> bytes:
        """Of this place."""
        place = (self.table, self.field, self.record_id, self.key_id, self.user_id)
        return oracle.associated_data(*place)

    def sealed(self, padded: bytes) -> Found:
        """Here, under this key, and the nonce of all vectors."""
        sealed = oracle.seal(self.key, self.key_id, NONCE, padded, self.associated_data)
        return replace(self, stored=sealed)


QUARANTINED: Final = Found(
    table="quarantine", field="quarantine", user_id="", key_field="quarantine"
)
DEVICE: Final = Found(field="device_id", key_field="device_id")
ADDRESS: Final = Found().sealed(oracle.pad(b"203.0.113.7"))
LONG: Final = Found().sealed(oracle.pad(b"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"))

VALUES: Final = (
    (b"", "nothing: one block of padding"),
    (b"2", "one byte"),
    (b"203.0.113.7", "an address"),
    (b"255.255.255.255", "the longest IPv4 address: one block"),
    (b"0123456789abcdef", "a whole block: a second one of padding"),
    (b"0123456789abcdef0", "a block and a byte"),
    (b"\x80", "a byte that looks like the mark"),
    (b"2\x80\x00\x00", "an end that looks like padding"),
    (b"0123456789abcde\x80", "a block that looks padded"),
    (bytes(16), "zeros"),
    (bytes(range(256)), "every byte"),
)

MALFORMED: Final = (
    (b"", "nothing at all: a mark is missing"),
    (bytes(16), "zeros without a mark"),
    (b"a" * 16, "text without a mark"),
    (b"a" * 15 + b"\x81", "another mark"),
    (b"a" * 15 + b"\x00", "a zero without a mark"),
    (b"a" * 8 + b"\x80" + bytes(6) + b"\x01", "the last byte is no zero"),
    (b"a" * 8 + b"\x80\x01" + bytes(6), "the byte behind the mark is no zero"),
    (b"a" * 15 + b"\x80" + bytes(16), "a mark in the block before: 17 bytes of padding"),
    (b"\x80" + bytes(31), "two blocks of padding"),
    (b"\x80" + bytes(255), "sixteen blocks of padding"),
    (b"\x80", "one byte: no whole block"),
    (b"a" * 11 + b"\x80" + bytes(3), "15 bytes"),
    (b"a" * 11 + b"\x80" + bytes(5), "17 bytes"),
    (b"a" * 12 + b"\x04" * 4, "PKCS #7 padding"),
)


def padding_cases() -> list[dict[str, Any]]:
    """Texts with valid padding, and with invalid padding."""
    return [
        _case("padded", comment, value=value, padded=oracle.pad(value)) for value, comment in VALUES
    ] + [_case("malformed", comment, padded=padded) for padded, comment in MALFORMED]


def associated_data_cases() -> list[dict[str, Any]]:
    """Of places that differ in one thing each."""
    return [
        _case("associated_data", comment, **_place(at), associated_data=at.associated_data)
        for at, comment in (
            (Found(), "an address"),
            (DEVICE, "a device"),
            (QUARANTINED, "a quarantined body, which has no person"),
            (replace(ADDRESS, record_id=uuid.UUID(int=0)), "the lowest record id"),
            (replace(ADDRESS, record_id=uuid.UUID(int=2**128 - 1)), "the highest record id"),
            (replace(ADDRESS, key_id=1), "the lowest key id"),
            (replace(ADDRESS, key_id=2**32 - 1), "the highest key id"),
            (replace(ADDRESS, user_id=""), "no person"),
            (replace(ADDRESS, user_id="caf\u00e9"), "lengths count bytes, not characters"),
            (replace(ADDRESS, user_id="cafe\u0301"), "and nothing is normalised"),
            (replace(ADDRESS, user_id="\U0001f4f1" * 128), "the longest that an event holds"),
            (replace(ADDRESS, user_id="u" * 256), "a length of two bytes"),
        )
    ]


def ciphertext_cases() -> list[dict[str, Any]]:
    """What opens, then every kind of damage, mix-up and forgery."""
    cases = [_opens(Found().sealed(oracle.pad(value)), value, why) for value, why in VALUES]
    cases += [
        _opens(DEVICE.sealed(oracle.pad(b"Phone-1")), b"Phone-1", "a device"),
        _opens(QUARANTINED.sealed(oracle.pad(b"[]")), b"[]", "a quarantined body"),
        _opens(
            replace(Found(), user_id="caf\u00e9").sealed(oracle.pad(b"::1")), b"::1", "of a person"
        ),
        _opens(replace(Found(), key_id=1).sealed(oracle.pad(b"::1")), b"::1", "the lowest key id"),
        _opens(
            replace(Found(), key_id=2**32 - 1).sealed(oracle.pad(b"::1")),
            b"::1",
            "the highest key id",
        ),
    ]
    by_tink = replace(DEVICE, stored=BY_TINK, key=TINKS_KEY)
    cases.append(_opens(by_tink, TINKS_VALUE, "written by Google Tink", nonce=False))
    cases += [_fails(at, why) for at, why in (*_damaged(), *_elsewhere(), *_forged())]
    return cases


def _damaged() -> Iterator[tuple[Found, str]]:
    """Bytes that are not the ones that were stored."""
    stored = ADDRESS.stored
    parts = {
        "format": (0, 1),
        "key id": (1, 5),
        "nonce": (5, 17),
        "body": (17, 33),
        "tag": (33, 49),
    }
    for name, (start, end) in parts.items():
        for bit in range(start * 8, end * 8, 1 if end - start == 1 else 5):
            number = int.from_bytes(stored, "big") ^ 1 << (len(stored) * 8 - 1 - bit)
            damaged = number.to_bytes(len(stored), "big")
            yield replace(ADDRESS, stored=damaged), f"bit {bit} flipped, in the {name}"
        zeroed = stored[:start] + bytes(end - start) + stored[end:]
        yield replace(ADDRESS, stored=zeroed), f"the {name} zeroed"
        without = stored[:start] + stored[end:]
        yield replace(ADDRESS, stored=without), f"the {name} taken out"
    for length in (0, 1, 5, 16, 17, 32, 33, 48):
        yield replace(ADDRESS, stored=stored[:length]), f"cut to {length} bytes"
    yield replace(ADDRESS, stored=stored[1:]), "its first byte gone"
    yield replace(ADDRESS, stored=stored + b"\x00"), "a byte appended"
    yield replace(ADDRESS, stored=stored + bytes(16)), "a block appended"
    yield replace(ADDRESS, stored=stored + stored[-16:]), "its tag twice"
    yield replace(ADDRESS, stored=stored * 2), "twice"
    yield replace(ADDRESS, stored=stored[:17] + stored[33:] + stored[17:33]), "body and tag swapped"
    yield replace(LONG, stored=LONG.stored[:-32] + LONG.stored[-16:]), "a block of three taken out"
    yield replace(ADDRESS, stored=stored[:33] + LONG.stored[-16:]), "another value's tag"
    yield replace(ADDRESS, stored=stored[:17] + bytes(16) + stored[17:]), "a block put in"
    yield replace(ADDRESS, stored=stored.hex().encode()), "its own hex"


def _elsewhere() -> Iterator[tuple[Found, str]]:
    """Found at another place, or tried with another key."""
    other_field = replace(ADDRESS, field="device_id")
    yield replace(ADDRESS, record_id=uuid.UUID(int=RECORD.int + 1)), "in another row"
    yield replace(ADDRESS, table="quarantine"), "in another table"
    yield other_field, "in another field, which the key is not of"
    yield replace(other_field, key_field="device_id"), "in another field, with a key that says so"
    yield replace(ADDRESS, user_id="u-2"), "at another person"
    yield replace(ADDRESS, user_id=""), "at nobody"
    yield replace(ADDRESS, user_id="u-1 "), "at a person with a space"
    yield replace(ADDRESS, key_field="device_id"), "with a key of another field"
    yield replace(ADDRESS, key=KEY[::-1]), "with another key"
    yield replace(ADDRESS, key_id=KEY_ID + 1), "with the same key under another id"
    relabelled = ADDRESS.stored[:1] + (KEY_ID + 1).to_bytes(4, "big") + ADDRESS.stored[5:]
    yield (
        replace(ADDRESS, key_id=KEY_ID + 1, stored=relabelled),
        "the same key under another id, and the ciphertext's header made to match",
    )
    yield (
        replace(QUARANTINED.sealed(oracle.pad(b"203.0.113.7")), table="user_logins", user_id="u-1"),
        "a quarantined body in a record",
    )
    as_record = replace(ADDRESS, table="quarantine", field="quarantine", user_id="")
    yield replace(as_record, key_field="quarantine"), "a record's address in quarantine"


def _forged() -> Iterator[tuple[Found, str]]:
    """Authentic, under the right key and for the right place, and still not what we seal."""
    for padded, comment in MALFORMED:
        yield Found().sealed(padded), f"authentic, malformed padding: {comment}"
    body = oracle.seal(KEY, KEY_ID, NONCE, oracle.pad(b"203.0.113.7"), b"")
    yield Found(stored=body), "authentic without associated data"
    bound = Found().associated_data
    bare = oracle.seal(KEY, KEY_ID, NONCE, oracle.pad(b"203.0.113.7"), b"x" + bound[1:])
    yield Found(stored=bare), "authentic under another label"
    yield replace(ADDRESS, stored=ADDRESS.stored[5:]), "Tink's output prefix RAW"
    yield replace(ADDRESS, stored=b"\x00" + ADDRESS.stored[1:]), "Tink's output prefix CRUNCHY"


def _opens(at: Found, value: bytes, comment: str, *, nonce: bool = True) -> dict[str, Any]:
    opened = oracle.tink_opens(at.key, at.key_id, at.stored, at.associated_data)
    assert opened == oracle.pad(value)
    drawn = {"nonce": NONCE} if nonce else {}
    key = {"key": at.key, "key_field": at.key_field}
    return _case("opens", comment, **_place(at), **key, value=value, **drawn, stored=at.stored)


def _fails(at: Found, comment: str) -> dict[str, Any]:
    key = {"key": at.key, "key_field": at.key_field}
    return _case("fails", comment, **_place(at), **key, stored=at.stored)


def _place(at: Found) -> dict[str, Any]:
    return {
        "table": at.table,
        "field": at.field,
        "record_id": str(at.record_id),
        "user_id_text": at.user_id,
        "key_id": at.key_id,
    }


def _case(expect: str, comment: str, **members: object) -> dict[str, Any]:
    shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in members.items()}
    return {"expect": expect, "comment": comment, **shown}
