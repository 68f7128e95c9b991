"""What binds an intent to find a value to the tokens that it looks for (docs/formats.md, Search)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Final

NONCE_BYTES: Final = 32

_PREFIX: Final = b"vault-etl/1/search"


def search_digest(nonce: bytes, tokens: Sequence[uuid.UUID]) -> bytes:
    """SHA-256 of prefix, nonce and tokens, in this order: 32 bytes.

    The nonce is random, is used once, and is stored nowhere: nobody can try tokens against the
    digest. Raises ValueError for another length than 32 bytes, which would let two lists collide.
    """
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(_PREFIX + nonce + b"".join(t.bytes for t in tokens)).digest()
