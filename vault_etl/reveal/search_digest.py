"""What binds an intent to find to the tokens, or the user, that it looks for (docs/formats.md, Search)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Final

NONCE_BYTES: Final = 32

_PREFIX: Final = b"vault-etl/1/search"
_USER_PREFIX: Final = b"vault-etl/1/search-user"


def user_digest(nonce: bytes, user_id: str) -> bytes:
    """The same of one user: SHA-256 of another prefix, the nonce and the id in UTF-8. Raises ValueError as well."""
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(_USER_PREFIX + nonce + user_id.encode()).digest()


def search_digest(nonce: bytes, tokens: Sequence[uuid.UUID]) -> bytes:
    """SHA-256 of prefix, nonce and tokens, in this order: 32 bytes.

    The nonce is random, is used once, and is stored nowhere: nobody can try tokens against the
    digest. Raises ValueError for another length than 32 bytes, which would let two lists collide.
    """
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(_PREFIX + nonce + b"".join(t.bytes for t in tokens)).digest()
