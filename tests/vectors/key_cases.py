"""Cases of record ids, fingerprints and encryption contexts."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors import oracle

MESSAGE: Final = "5fea7756-0ea4-451a-a703-a558b933e274"
KEY: Final = bytes(range(0x20, 0x40))

MESSAGES: Final = (
    (MESSAGE, 1_767_225_600_123, "a message"),
    (MESSAGE, 1_767_225_600_124, "the same id, a millisecond later: what a redrive by hand makes"),
    ("5fea7756-0ea4-451a-a703-a558b933e275", 1_767_225_600_123, "another id"),
    ("5FEA7756-0EA4-451A-A703-A558B933E274", 1_767_225_600_123, "case is kept"),
    (MESSAGE, 0, "the first millisecond"),
    (MESSAGE, 2**48 - 1, "the last one: the year 10889"),
    ("", 1_767_225_600_123, "an empty id"),
    ("x" * 100, 1_767_225_600_123, "the longest that SQS allows"),
    ("83", 1_767_225_600_123, "the hash has ones where version and variant go"),
    ("26", 1_767_225_600_123, "the hash has zeros where version and variant go"),
)

NO_MESSAGES: Final = (
    (MESSAGE, -1, "before 1970"),
    (MESSAGE, 2**48, "49 bits"),
    ("caf\u00e9", 1_767_225_600_123, "an id that is not ASCII"),
)

KEYS: Final = (
    (KEY, 16_909_060, "a key"),
    (KEY, 16_909_061, "the same bytes under another id"),
    (KEY, 1, "the lowest id"),
    (KEY, 2**32 - 1, "the highest id"),
    (bytes(32), 16_909_060, "a key of zeros"),
    (bytes(31) + b"\x01", 16_909_060, "a bit away from it"),
    (b"\xff" * 32, 16_909_060, "a key of ones"),
)


def record_id_cases() -> list[dict[str, Any]]:
    """Of messages from a queue."""
    return [
        {
            "expect": "record_id",
            "comment": comment,
            "message_id_text": message_id,
            "sent_ms": sent_ms,
            "record_id": str(oracle.record_id(message_id, sent_ms)),
        }
        for message_id, sent_ms, comment in MESSAGES
    ] + [
        {
            "expect": "rejected",
            "comment": comment,
            "message_id_text": message_id,
            "sent_ms": sent_ms,
        }
        for message_id, sent_ms, comment in NO_MESSAGES
    ]


def fingerprint_cases() -> list[dict[str, Any]]:
    """Of data keys and token keys alike."""
    right = oracle.fingerprint(KEY, 16_909_060)
    cases = [
        _fingerprint("fingerprint", key, key_id, oracle.fingerprint(key, key_id), comment)
        for key, key_id, comment in KEYS
    ]
    cases += [
        _fingerprint("differs", KEY[::-1], 16_909_060, right, "another key"),
        _fingerprint("differs", KEY, 1, right, "another key id"),
        _fingerprint("differs", KEY, 16_909_060, _flipped(right, 0), "its first bit flipped"),
        _fingerprint("differs", KEY, 16_909_060, _flipped(right, 63), "its last bit flipped"),
        _fingerprint("differs", KEY, 16_909_060, right[:-1], "cut off"),
    ]
    for length in (0, 16, 24, 31, 33, 64):
        comment = f"{length} bytes: AES-256 and HMAC keys have 32"
        cases.append({"expect": "rejected", "comment": comment, "key": "2a" * length})
    return cases


def encryption_context_cases() -> list[dict[str, Any]]:
    """Of every key there can be."""
    return [
        {
            "expect": "context",
            "comment": comment,
            "purpose": purpose,
            "field": field,
            "key_id": key_id,
            "context": {
                "app": "vault-etl",
                "purpose": purpose,
                "field": field,
                "key_id": f"{key_id:d}",
            },
        }
        for purpose, field, key_id, comment in (
            ("data", "ip", 16_909_060, "a data key"),
            ("data", "device_id", 16_909_060, "of another field"),
            ("data", "quarantine", 16_909_060, "of quarantined bodies"),
            ("token", "ip", 16_909_060, "a token key"),
            ("token", "device_id", 16_909_060, "of another field"),
            ("data", "ip", 1, "decimal, without leading zeros"),
            ("data", "ip", 2**32 - 1, "decimal, without a sign"),
        )
    ]


def _fingerprint(
    expect: str, key: bytes, key_id: int, fingerprint: bytes, comment: str
) -> dict[str, Any]:
    return {
        "expect": expect,
        "comment": comment,
        "key": key.hex(),
        "key_id": key_id,
        "fingerprint": fingerprint.hex(),
    }


def _flipped(value: bytes, bit: int) -> bytes:
    flipped = bytearray(value)
    flipped[bit // 8] ^= 0x80 >> bit % 8
    return bytes(flipped)
