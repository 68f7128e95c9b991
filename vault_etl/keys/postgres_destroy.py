"""The end of keys and of old tokens on Postgres, for the roles rotate and re-encrypt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration
from vault_etl.keys.destroy import Cleared, KeyEnder, OldTokens
from vault_etl.keys.needed import KeyNeeds, KeyNeedsCounter
from vault_etl.keys.postgres import FENCE_SECONDS, FENCE_TRIES, asked_by
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("keys/destroy.sql")


class PostgresKeyNeeds(KeyNeedsCounter):
    """Counts without the fence: docs/adr/0011-destroy-counts-before-the-fence.md."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def of_data_key(self, key_id: int) -> KeyNeeds:
        """Count in one statement, so in one snapshot."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["needs_of_data_key"], {"key_id": key_id})
            ((values, bodies, leases),) = cursor.fetchall()
        return KeyNeeds(values=values, bodies=bodies, leases=leases)

    @override
    def of_generation(self, generation: int, *, counted: bool) -> KeyNeeds:
        """Count in one statement, so in one snapshot."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(
                _SQL["needs_of_generation"], {"generation": generation, "counted": counted}
            )
            ((values, old_tokens, unattached),) = cursor.fetchall()
        return KeyNeeds(values=values, old_tokens=old_tokens, unattached=unattached)


class PostgresKeyEnder(KeyEnder):
    """Retires and destroys keys, behind the fence."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._digest = digest_of(declaration)

    @override
    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        values = self._values(request, key_ids)
        (retired,) = self._database.call(_SQL["retire_expired"], values)
        return list(retired)

    @override
    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        values = self._values(request, key_ids)
        (destroyed,) = self._database.call(_SQL["destroy"], values)
        return list(destroyed)

    def _values(self, request: AuditRequest, key_ids: Sequence[int]) -> dict[str, object]:
        return {**asked_by(request), "key_ids": list(key_ids), "declaration": self._digest}


CLEAR_TRIES: Final = 5


class PostgresOldTokens(OldTokens):
    """Clears old tokens of the table's rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    @retried_for_locks(tries=CLEAR_TRIES)
    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """Clear a page in one transaction; the database's own function takes the fence.

        A deadlock with another writer is tried again: clearing twice has the effect of clearing once.
        """
        with self._database.transaction(long=True) as cursor:
            cursor.execute(
                _SQL["clear_old_tokens"], {"generation": generation, "after": after, "limit": limit}
            )
            ((rows, last),) = cursor.fetchall()
        return Cleared(rows, last)
