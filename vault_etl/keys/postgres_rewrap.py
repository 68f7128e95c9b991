"""Compare-and-swap of wrapped keys on Postgres, for the roles rotate and re-encrypt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.postgres import PostgresKeyStore, asked_by
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.sql_blocks import blocks

_SQL: Final = blocks("keys/rewrap.sql")


class PostgresWrappedKeys:
    """`WrappedKeys` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)

    def live(self) -> Sequence[StoredKey]:
        """See `WrappedKeys.live`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["live_key_ids"])
            key_ids = [key_id for (key_id,) in cursor.fetchall()]
        return sorted(
            (key for key in self._keys.keys(key_ids) if key.state is not KeyState.DESTROYED),
            key=lambda key: (key.purpose, key.field, key.created_at, key.key_id),
        )

    def swap(
        self, request: AuditRequest, key: StoredKey, wrapped_key: bytes, kms_key_arn: str
    ) -> bool:
        """See `WrappedKeys.swap`."""
        (swapped,) = self._database.call(
            _SQL["swap"],
            {
                **asked_by(request),
                "key_id": key.key_id,
                "old_wrapped_key": key.wrapped_key,
                "old_kms_key_arn": key.kms_key_arn,
                "wrapped_key": wrapped_key,
                "kms_key_arn": kms_key_arn,
            },
            within=ANSWER_WITHIN_S,
        )
        return bool(swapped)
