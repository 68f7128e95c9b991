"""The opening path by hand, from docs/formats.md: boto3, AES-GCM and HMAC, and nothing of vault-etl's."""

from __future__ import annotations

import hmac
import ipaddress
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass(frozen=True, slots=True)
class StolenKey:
    """A row of `data_keys`."""

    key_id: int
    purpose: str
    field: str
    arn: str
    wrapped: bytes

    @property
    def context(self) -> dict[str, str]:
        """The encryption context that it was wrapped under."""
        return {
            "app": "vault-etl",
            "purpose": self.purpose,
            "field": self.field,
            "key_id": str(self.key_id),
        }


def kms_of(environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - boto3's own
    """KMS under the access key that a process had in its environment."""
    return boto3.client(
        "kms",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def unwrap(kms: Any, key: StolenKey) -> bytes:  # noqa: ANN401
    """The plaintext key, if KMS gives it."""
    opened = kms.decrypt(KeyId=key.arn, CiphertextBlob=key.wrapped, EncryptionContext=key.context)
    plaintext = opened["Plaintext"]
    assert isinstance(plaintext, bytes)
    return plaintext


def key_id_of(sealed: bytes) -> int:
    """Bytes 1 to 4 of a ciphertext."""
    return int.from_bytes(sealed[1:5], "big")


def open_value(sealed: bytes, key: bytes, *, field: str, record: uuid.UUID, user: str) -> str:
    """A field of `user_logins`."""
    place = (
        b"vault-etl/1" + _lp("user_logins") + _lp(field) + record.bytes + sealed[1:5] + _lp(user)
    )
    padded = AESGCM(key).decrypt(sealed[5:17], sealed[17:], place)
    text, mark, zeros = padded.rpartition(b"\x80")
    assert mark
    assert not zeros.strip(b"\0")
    return text.decode()


def address_behind(
    token: uuid.UUID, token_key: bytes, addresses: Iterable[ipaddress.IPv4Address]
) -> str | None:
    """Return which of these addresses has the token, by trying each."""
    derived = hmac.digest(token_key, b"vault-etl/1/token" + _lp("ip"), "sha256")
    for address in addresses:
        packed = b"\0" * 10 + b"\xff\xff" + address.packed
        if hmac.digest(derived, packed, "sha256")[:16] == token.bytes:
            return str(address)
    return None


def _lp(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
