"""The wrapped bytes of keys, to be wrapped anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.keys import StoredKey


class WrappedKeys(Protocol):
    """May replace wrapped bytes, which changes neither a key nor its state."""

    def live(self) -> Sequence[StoredKey]:
        """Every key that is not destroyed: by purpose, then field, the oldest first."""

    def swap(
        self, request: AuditRequest, key: StoredKey, wrapped_key: bytes, kms_key_arn: str
    ) -> bool:
        """Put these bytes, and the KMS key that made them, in the place of `key`'s, on the record.

        False, with nothing changed, if the row has other ones by now, or the key is destroyed.
        """
