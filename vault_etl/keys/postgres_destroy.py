"""The end of keys on Postgres, for the roles rotate and re-encrypt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import stamina

from vault_etl.audit.entries import AuditRequest
from vault_etl.keys.destroy import Cleared
from vault_etl.keys.needed import KeyNeeds
from vault_etl.keys.postgres import FENCE_SECONDS, FENCE_TRIES, asked_by
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import LockTimeoutError
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("keys/destroy.sql")


class PostgresKeyNeeds:
    """`KeyNeeds` on Postgres. Holds no fence: docs/adr/0011-destroy-counts-before-the-fence.md."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_data_key(self, key_id: int) -> KeyNeeds:
        """See `KeyNeeds.of_data_key`. One statement, so one snapshot."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["needs_of_data_key"], {"key_id": key_id})
            ((values, bodies, leases),) = cursor.fetchall()
        return KeyNeeds(values=values, bodies=bodies, leases=leases)

    def of_generation(self, generation: int, *, counted: bool) -> KeyNeeds:
        """See `KeyNeeds.of_generation`. One statement, so one snapshot."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(
                _SQL["needs_of_generation"], {"generation": generation, "counted": counted}
            )
            ((values, old_tokens, closed),) = cursor.fetchall()
        return KeyNeeds(values=values, old_tokens=old_tokens, closed=closed)


class PostgresKeyEnder:
    """`KeyEnder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @stamina.retry(on=LockTimeoutError, attempts=FENCE_TRIES, timeout=FENCE_SECONDS)
    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """See `KeyEnder.retire_expired`."""
        values = {**asked_by(request), "key_ids": list(key_ids)}
        (retired,) = self._database.call(_SQL["retire_expired"], values)
        return list(retired)

    @stamina.retry(on=LockTimeoutError, attempts=FENCE_TRIES, timeout=FENCE_SECONDS)
    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """See `KeyEnder.destroy`."""
        values = {**asked_by(request), "key_ids": list(key_ids)}
        (destroyed,) = self._database.call(_SQL["destroy"], values)
        return list(destroyed)


CLEAR_TRIES: Final = 5


class PostgresOldTokens:
    """`OldTokens` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @stamina.retry(on=LockTimeoutError, attempts=CLEAR_TRIES)
    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """See `OldTokens.clear`. A page is a transaction, behind the fence in the database's own function.

        A deadlock with another writer is tried again: clearing twice is once.
        """
        with self._database.transaction(long=True) as cursor:
            cursor.execute(
                _SQL["clear_old_tokens"], {"generation": generation, "after": after, "limit": limit}
            )
            ((rows, last),) = cursor.fetchall()
        return Cleared(rows, last)
