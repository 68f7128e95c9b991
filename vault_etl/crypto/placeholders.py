"""Values that programs write when they know no address or device: public tokens, made without a key.

    token = SHA-256("vault-etl/1/placeholder" ‖ lp(field) ‖ canonical form, ASCII letters lower-case)[:16]

A placeholder is no personal value, so its token needs no key, and is the same in every generation. So an
analyst, who has no key, can leave out the records that hold one. The set is a part of token format 1.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.digest import lp, sha256
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field

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
        "9774d56d682e549c",  # the ANDROID_ID that a fault gave to many devices
        "02:00:00:00:00:00",  # what mobile systems answer instead of a hardware address
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
    ),
}
"""In their canonical spelling, in lower case."""

_LABEL: Final = b"vault-etl/1/placeholder"
_TOKEN_BYTES: Final = 16


def placeholder_token(field: Field, form: bytes) -> uuid.UUID | None:
    """The public token of a canonical form that is a placeholder, in any case; else None."""
    return _BY_FORM[field].get(form.lower())


def placeholders(field: Field) -> Mapping[uuid.UUID, str]:
    """Every placeholder of `field`, by its token."""
    return _BY_TOKEN[field]


def _form(field: Field, text: str) -> bytes:
    return canonical(field, Pii.of_text(text))


_BY_FORM: Final = {
    field: {
        form: uuid.UUID(bytes=sha256(_LABEL, lp(field), form)[:_TOKEN_BYTES])
        for form in (_form(field, text) for text in PLACEHOLDERS[field])
    }
    for field in PERSONAL_FIELDS
}
_BY_TOKEN: Final = {
    field: {_BY_FORM[field][_form(field, text)]: text for text in PLACEHOLDERS[field]}
    for field in PERSONAL_FIELDS
}
