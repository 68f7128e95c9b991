"""The SHA-256 of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, Hash

_BLOCK: Final = 2**20


def size_and_sha256(path: Path) -> tuple[int, bytes]:
    """The size of a file in bytes, and the SHA-256 of its content."""
    digest = Hash(SHA256())
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.finalize()
