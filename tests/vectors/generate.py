"""Writes the vector files: run once for each format, and never again for a format that is in use.

    .venv/bin/python -m tests.vectors.generate

What a case expects comes from `oracle.py`, or stands here as a constant; our own code has no say.
`test_vectors.py` holds the SHA-256 of every file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.vectors.canonical_cases import token_cases
from tests.vectors.key_cases import encryption_context_cases, fingerprint_cases, record_id_cases
from tests.vectors.kind_cases import kind_cases
from tests.vectors.line_cases import line_id_cases
from tests.vectors.message_cases import message_cases
from tests.vectors.sealed_cases import associated_data_cases, ciphertext_cases, padding_cases

Case = dict[str, Any]

HERE: Final = Path(__file__).parent

FILES: Final[Mapping[str, tuple[Callable[[], list[Case]], dict[str, Any]]]] = {
    "token": (
        token_cases,
        {
            "about": "Token format 1: token = HMAC(HMAC(key, label ‖ lp(field)), canonical)[:16].",
            "specification": "docs/formats.md#token-format-1",
            "expect": {
                "token": "`value` in `field` has this `canonical` form, and under `key` this `token`",
                "placeholder": "`value` stands for no value of `field`: it has this `canonical` form, "
                "and this `token` under every key",
                "rejected": "`value` is no value of `field`: it gets no token, and no event holds it",
            },
        },
    ),
    "kind": (
        kind_cases,
        {
            "about": "Kinds beside those of the login event: what is sealed, and what tokens are made from.",
            "specification": "docs/formats.md#canonical-form",
            "expect": {
                "accepted": "`text` is a value of `kind` without options: `sealed` is sealed, and has this "
                "`canonical` form",
                "refused": "`text` is no value of `kind`",
                "derived": "`text`, as it is sealed in a field that is called as its `kind`, has this "
                "`canonical` form as a derived `form`, and under `key` this `token`",
            },
        },
    ),
    "message": (
        message_cases,
        {
            "about": "Which bodies are login events, in which envelopes, and why others are none.",
            "specification": "docs/formats.md#message",
            "expect": {
                "event": "`body` is an event with these fields; null is none. `create_date` and "
                "`event_time` are as they are stored, in UTC",
                "rejected": "`body` is quarantined with this `reason_code` and this `path`",
            },
        },
    ),
    "record_id": (
        record_id_cases,
        {
            "about": "The UUIDv7 that is a function of a queue message's id and SentTimestamp.",
            "specification": "docs/formats.md#record-id",
            "expect": {
                "record_id": "the message has this `record_id`",
                "rejected": "there is no record id of such a message",
            },
        },
    ),
    "line_id": (
        line_id_cases,
        {
            "about": "The UUIDv7 that is a function of the number of a line, and of its source.",
            "specification": "docs/formats.md#record-id-of-a-line",
            "expect": {
                "record_id": "the line has this `record_id`",
                "rejected": "there is no record id of such a line",
            },
        },
    ),
    "fingerprint": (
        fingerprint_cases,
        {
            "about": "What data_keys.fingerprint holds, and is compared with after each unwrap.",
            "specification": "docs/formats.md#fingerprint",
            "expect": {
                "fingerprint": "`key` with this `key_id` has this `fingerprint`",
                "differs": "`key` with this `key_id` does not have this `fingerprint`",
                "rejected": "`key` is no key",
            },
        },
    ),
    "encryption_context": (
        encryption_context_cases,
        {
            "about": "The encryption context of every GenerateDataKey, Decrypt and ReEncrypt.",
            "specification": "docs/formats.md#encryption-context",
            "expect": {"context": "these four pairs, and no other, are passed to KMS"},
        },
    ),
    "associated_data": (
        associated_data_cases,
        {
            "about": "What binds a ciphertext to table, field, record, key and person.",
            "specification": "docs/formats.md#associated-data",
            "expect": {"associated_data": "this place has this `associated_data`"},
        },
    ),
    "padding": (
        padding_cases,
        {
            "about": "ISO/IEC 7816-4 padding to a multiple of 16 bytes.",
            "specification": "docs/formats.md#padding",
            "expect": {
                "padded": "`value` is padded to `padded`, and that is unpadded to `value`",
                "malformed": "nothing can be unpadded from `padded`",
            },
        },
    ),
    "ciphertext": (
        ciphertext_cases,
        {
            "about": "Ciphertext format 1, AES-256-GCM: what opens, and every way not to open.",
            "specification": "docs/formats.md#ciphertext-format-1",
            "expect": {
                "opens": "`stored`, found at this place, opens with this key to `value`; where there "
                "is a `nonce`, sealing `value` with it gives `stored`",
                "fails": "`stored`, found at this place, does not open with this key, and the error "
                "does not say why",
            },
        },
    ),
}


def documents() -> dict[str, bytes]:
    """Every file's name and content."""
    return {f"{name}.json": _render(name, *parts) for name, parts in FILES.items()}


def _render(name: str, cases: Callable[[], list[Case]], head: dict[str, Any]) -> bytes:
    document = {
        "vectors": f"vault-etl/1/{name}",
        **head,
        "notation": "numbers are JSON numbers, UUIDs have dashes, `text` members are text, and every "
        "other value is bytes in hex",
        "cases": cases(),
    }
    return (json.dumps(document, indent=2, ensure_ascii=True) + "\n").encode()


def main() -> None:
    """Write the files that are not there yet: what is frozen is not written over."""
    for name, content in documents().items():
        path = HERE / name
        if not path.exists():
            path.write_bytes(content)


if __name__ == "__main__":
    main()
