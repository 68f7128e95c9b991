"""The eraser on Postgres, for the role erase, which has no right to a table."""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration
from vault_etl.erase.erase import Erasable, Eraser, Erasure, RecordTarget, Target
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("erase/erase.sql")

_TRIES: Final = 3
"""Attempts, each of which waits up to ten seconds for a lock. A deadlock with a rotation's batch ends one of them."""


class PostgresEraser(Eraser):
    """The eraser of the functions in migrations/0016_erase.sql."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._digest = digest_of(declaration)

    @override
    def preview(self, target: Target) -> Erasable | None:
        with self._database.transaction(long=True) as cursor:
            ((matching, *found),) = rows_of(cursor, _SQL["preview"], _columns(target))
        there = Erasable(*found)
        return there if matching or there.archives else None

    @override
    @retried_for_locks(tries=_TRIES)
    def erase(self, request: AuditRequest, target: Target) -> Erasure | None:
        records, bodies, archives, erased_at, seq, entry_hash = self._database.call(
            _SQL["erase"],
            {
                "request_id": request.request_id,
                "actor": request.actor,
                "host": request.host,
                "ticket": request.ticket,
                "reason": request.reason,
                "declaration": self._digest,
                **_columns(target),
            },
        )
        if seq is None:
            return None
        return Erasure(records, bodies, archives, erased_at, seq, bytes(entry_hash))


def _columns(target: Target) -> dict[str, object]:
    if isinstance(target, RecordTarget):
        return {"record_id": target.record_id, "user_id": None}
    return {"record_id": None, "user_id": target.user_id}
