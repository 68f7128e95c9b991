"""Keys: wrapped keys at rest, and plaintext keys in memory alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn, final

from vault_etl.crypto.digest import hmac_sha256
from vault_etl.crypto.fields import FieldName, KeyPurpose

KEY_BYTES: Final = 32
"""Of AES-256 keys and of HMAC-SHA-256 keys."""

FINGERPRINT_BYTES: Final = 8

MAX_KEY_ID: Final = 2**32 - 1
"""A key id is a uint32 other than 0."""

_FINGERPRINT_LABEL: Final = b"vault-etl/1/fingerprint"


class KeyState(StrEnum):
    """`pending` → `active` | `destroyed`; `active` → `decrypt_only` → `destroyed`."""

    PENDING = "pending"
    ACTIVE = "active"
    DECRYPT_ONLY = "decrypt_only"
    DESTROYED = "destroyed"


@final
class KeyMaterial:
    """32 bytes of plaintext key. They do not print, hash or pickle.

    Raises ValueError for any other length.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # never a dict key

    def __init__(self, value: bytes) -> None:
        if len(value) != KEY_BYTES:
            message = f"key material is {KEY_BYTES} bytes"
            raise ValueError(message)
        self._value = value

    def expose(self) -> bytes:
        """Return the key: 32 bytes."""
        return self._value

    def __repr__(self) -> str:
        return "KeyMaterial(redacted)"

    def __eq__(self, other: object) -> NoReturn:
        message = "keys are compared by their fingerprints"
        raise TypeError(message)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        message = "key material is not pickled or copied"
        raise TypeError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A key as KMS wrapped it. `wrapped_key` is None if and only if the key is destroyed."""

    key_id: int
    purpose: KeyPurpose
    field: FieldName
    generation: int | None
    kms_key_arn: str
    wrapped_key: bytes | None
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey(WrappedKey):
    """A row of `data_keys`."""

    state: KeyState
    created_at: dt.datetime
    created_by: str
    expires_at: dt.datetime | None = None
    retired_at: dt.datetime | None = None
    destroyed_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class DataKey:
    """A plaintext data key: seals or opens values of one field."""

    key_id: int
    field: FieldName
    material: KeyMaterial

    def __post_init__(self) -> None:
        _check_key_id(self.key_id)

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of the key: 8 bytes."""
        return fingerprint(self.material, self.key_id)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A plaintext token key: makes the tokens of one field in one generation."""

    key_id: int
    field: FieldName
    generation: int
    material: KeyMaterial


def fingerprint(material: KeyMaterial, key_id: int) -> bytes:
    """Return 8 bytes that show damage and mix-ups before the first use, and nothing about the key."""
    mac = hmac_sha256(material.expose(), _FINGERPRINT_LABEL, key_id.to_bytes(4, "big"))
    return mac[:FINGERPRINT_BYTES]


def encryption_context(purpose: KeyPurpose, field: FieldName, key_id: int) -> dict[str, str]:
    """Return the encryption context: KMS binds a wrapped key to it, and IAM conditions and CloudTrail see it."""
    return {
        "app": "vault-etl",
        "purpose": purpose.value,
        "field": field,
        "key_id": str(key_id),
    }


def _check_key_id(key_id: int) -> None:
    if not 0 < key_id <= MAX_KEY_ID:
        message = "a key id is a uint32 other than 0"
        raise ValueError(message)
