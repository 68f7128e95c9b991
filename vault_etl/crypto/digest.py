"""SHA-256 and HMAC-SHA-256 over parts, by `cryptography`, and the length prefix that separates parts."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC

MAX_PREFIXED_BYTES = 0xFFFF


def sha256(*parts: bytes) -> bytes:
    """Return SHA-256 of the concatenated parts: 32 bytes."""
    digest = Hash(SHA256())
    for part in parts:
        digest.update(part)
    return digest.finalize()


class PrefixedSha256:
    """SHA-256 of contents that have one beginning, which is hashed once."""

    def __init__(self, *beginning: bytes) -> None:
        self._begun = Hash(SHA256())
        for part in beginning:
            self._begun.update(part)

    def digest(self, rest: bytes) -> bytes:
        """Return SHA-256 of the beginning and the rest: 32 bytes."""
        digest = self._begun.copy()
        digest.update(rest)
        return digest.finalize()


class RunningSha256:
    """SHA-256 of content that is too long for memory."""

    def __init__(self) -> None:
        self._hash = Hash(SHA256())

    def update(self, part: bytes) -> None:
        """Add the next part."""
        self._hash.update(part)

    def digest(self) -> bytes:
        """Return the digest of all parts so far: 32 bytes."""
        return self._hash.copy().finalize()


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104) of the concatenated parts: 32 bytes."""
    mac = HMAC(key, SHA256())
    for part in parts:
        mac.update(part)
    return mac.finalize()


def lp(text: str) -> bytes:
    """Return the UTF-8 bytes of `text` after their length as a big-endian uint16.

    Raises ValueError for more than 65,535 bytes: every field that may be stored is shorter.
    """
    return lp_bytes(text.encode())


def lp_bytes(content: bytes) -> bytes:
    """Return the bytes after their length as a big-endian uint16. Raises ValueError for more than 65,535."""
    if len(content) > MAX_PREFIXED_BYTES:
        message = "text is too long for a length prefix of 16 bits"
        raise ValueError(message)
    return len(content).to_bytes(2, "big") + content
