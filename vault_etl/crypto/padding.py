"""ISO/IEC 7816-4 padding: one byte 0x80, then zeros, to a multiple of 16 bytes.

All IPv4 addresses then seal to one length: what a ciphertext shows is a class of 16 bytes.
"""

from __future__ import annotations

from typing import Final

BLOCK_BYTES: Final = 16

_MARK: Final = b"\x80"


def pad(plaintext: bytes) -> bytes:
    """`plaintext` with 1 to 16 bytes of padding behind it."""
    return plaintext + _MARK + bytes(-(len(plaintext) + 1) % BLOCK_BYTES)


def unpad(padded: bytes) -> bytes:
    """The plaintext that `pad` was given. Raises ValueError for anything that `pad` cannot make."""
    plaintext, mark, zeros = padded.rpartition(_MARK)
    if not mark or len(padded) % BLOCK_BYTES or len(zeros) >= BLOCK_BYTES or any(zeros):
        message = "malformed padding"
        raise ValueError(message)
    return plaintext
