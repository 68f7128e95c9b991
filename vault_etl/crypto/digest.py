"""SHA-256 and HMAC-SHA-256 over parts, from `cryptography`, and the length prefix that keeps parts apart."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC

MAX_PREFIXED_BYTES = 0xFFFF


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other: 32 bytes."""
    digest = Hash(SHA256())
    for part in parts:
        digest.update(part)
    return digest.finalize()


class RunningSha256:
    """SHA-256 of what is too long to be held at once."""

    def __init__(self) -> None:
        self._hash = Hash(SHA256())

    def update(self, part: bytes) -> None:
        """Add what comes next."""
        self._hash.update(part)

    def digest(self) -> bytes:
        """Of all parts up to now: 32 bytes."""
        return self._hash.copy().finalize()


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of the parts, one after the other: 32 bytes."""
    mac = HMAC(key, SHA256())
    for part in parts:
        mac.update(part)
    return mac.finalize()


def lp(text: str) -> bytes:
    """The UTF-8 bytes of `text` behind their length as a big-endian uint16.

    Raises ValueError for more than 65,535 bytes: no field that may be stored is that long.
    """
    return lp_bytes(text.encode())


def lp_bytes(content: bytes) -> bytes:
    """The bytes behind their length as a big-endian uint16. Raises ValueError for more than 65,535."""
    if len(content) > MAX_PREFIXED_BYTES:
        message = "text is too long for a length prefix of 16 bits"
        raise ValueError(message)
    return len(content).to_bytes(2, "big") + content
