"""Token format 1: a keyed, deterministic blind index of a personal value, 128 bits long.

    K     = HMAC-SHA-256(token key, "vault-etl/1/token" ‖ lp(field))
    token = HMAC-SHA-256(K, canonical(value))[:16]

A placeholder is a value that programs write when they know no address or device. It is not personal, so
its token is public: made without a key, and the same in every generation. An analyst, who has no key,
can leave out the records that hold one. The set of placeholders is a part of the format.

    public token = SHA-256("vault-etl/1/placeholder" ‖ lp(field) ‖ canonical form, ASCII letters lower-case)[:16]

Among 10^9 distinct values the chance of one collision is about 1.5e-21 (n^2 / 2^129).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.digest import hmac_sha256, lp, sha256
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field
from vault_etl.crypto.keys import TokenKey

PLACEHOLDERS: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.IP: ("0.0.0.0", "255.255.255.255", "127.0.0.1", "::", "::1"),  # noqa: S104 - data
    Field.DEVICE_ID: (
        "0",
        "-",
        "?",
        "(null)",
        "<null>",
        "[object object]",
        "default",
        "empty",
        "n/a",
        "na",
        "nan",
        "nil",
        "none",
        "not available",
        "null",
        "undefined",
        "unknown",
        "unset",
        "00000000-0000-0000-0000-000000000000",  # Android and iOS: no advertising id
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "0000000000000000",
        "000000000000000",  # the IMEI of Android's emulator
        "9774d56d682e549c",  # the ANDROID_ID that a defect gave to many devices
        "02:00:00:00:00:00",  # mobile systems return it instead of a hardware address
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
    ),
}
"""The placeholders of each field, in canonical form and lower case."""

TOKEN_BYTES: Final = 16

_PLACEHOLDER_LABEL: Final = b"vault-etl/1/placeholder"


def placeholder_token(field: Field, form: bytes) -> uuid.UUID | None:
    """Return the public token if the canonical form is a placeholder, in upper or lower case; else None."""
    return _BY_FORM[field].get(form.lower())


def placeholders(field: Field) -> Mapping[uuid.UUID, str]:
    """Return every placeholder of `field` by its token."""
    return _BY_TOKEN[field]


def _form(field: Field, text: str) -> bytes:
    return canonical(field, Pii.of_text(text))


_BY_FORM: Final = {
    field: {
        form: uuid.UUID(bytes=sha256(_PLACEHOLDER_LABEL, lp(field), form)[:TOKEN_BYTES])
        for form in (_form(field, text) for text in PLACEHOLDERS[field])
    }
    for field in PERSONAL_FIELDS
}
_BY_TOKEN: Final = {
    field: {_BY_FORM[field][_form(field, text)]: text for text in PLACEHOLDERS[field]}
    for field in PERSONAL_FIELDS
}


_LABEL: Final = b"vault-etl/1/token"


class FieldTokenizer:
    """Makes the tokens of one field in one generation."""

    def __init__(self, key: TokenKey) -> None:
        self.generation = key.generation
        self._field = key.field
        derived = hmac_sha256(key.material.expose(), _LABEL, lp(key.field))
        self._mac = HMAC(derived, SHA256())

    def token(self, value: Pii) -> uuid.UUID:
        """Return the token of `value`. Raises ValueError if the field cannot hold the value."""
        form = canonical(self._field, value)
        if public := placeholder_token(self._field, form):
            return public
        mac = self._mac.copy()
        mac.update(form)
        return uuid.UUID(bytes=mac.finalize()[:TOKEN_BYTES])


class Tokenizer:
    """Makes the tokens of one generation.

    Raises ValueError unless the keys are one for each personal field, all of one generation.
    """

    def __init__(self, keys: Iterable[TokenKey]) -> None:
        by_field = {key.field: key for key in keys}
        generations = {key.generation for key in by_field.values()}
        if set(by_field) != set(PERSONAL_FIELDS) or len(generations) != 1:
            message = "a tokenizer takes one key for each personal field, all of one generation"
            raise ValueError(message)
        (self.generation,) = generations
        self._fields = {field: FieldTokenizer(key) for field, key in by_field.items()}

    def token(self, field: Field, value: Pii) -> uuid.UUID:
        """Return the token of `value`. Raises ValueError if the field cannot hold the value."""
        return self._fields[field].token(value)
