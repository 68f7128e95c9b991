"""Token keys for a rotation, which adopts none that no entry of the audit log explains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import StoredKey
from vault_etl.keys.store import KeyReader, KeyTrail


class ExplainedKeys:
    """`KeyReader` that raises DataError in place of token keys that were changed without an entry."""

    def __init__(self, reader: KeyReader, trail: KeyTrail) -> None:
        self._reader = reader
        self._trail = trail

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """See `KeyReader.keys`."""
        return self._reader.keys(key_ids)

    def token_keys(self) -> Sequence[StoredKey]:
        """See `KeyReader.token_keys`."""
        return self._explained(self._reader.token_keys())

    def field_token_keys(self, field: Field) -> Sequence[StoredKey]:
        """See `KeyReader.field_token_keys`."""
        return self._explained(self._reader.field_token_keys(field))

    def _explained(self, keys: Sequence[StoredKey]) -> Sequence[StoredKey]:
        strange = self._trail.unexplained([key.key_id for key in keys])
        if strange:
            ids = ", ".join(map(str, strange))
            message = f"token keys that no entry of the audit log explains: {ids}"
            raise DataError(
                message,
                hint="a rotation adopts no such key: find out who wrote it; --abort ends a pending one",
            )
        return keys
