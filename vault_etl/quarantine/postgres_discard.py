"""Discarding quarantined messages on Postgres, for the role erase, which holds no right to a table."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Final

import stamina

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.platform.postgres import Database, LockTimeoutError
from vault_etl.platform.sql_blocks import blocks
from vault_etl.quarantine.store import Discarded, Matching, QuarantineFilter

_SQL: Final = blocks("quarantine/discard.sql")

_TRIES: Final = 3
"""Each waits up to ten seconds for rows that a retry or a rotation has locked."""


class PostgresQuarantineDiscarder:
    """`QuarantineDiscarder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> Matching:
        """See `QuarantineDiscarder.matching`."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["quarantine_matching"], _values(wanted, record_ids))
            (found,) = cursor.fetchall()
        return Matching(*found)

    @stamina.retry(on=LockTimeoutError, attempts=_TRIES)
    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        """See `QuarantineDiscarder.discard`."""
        messages, newest, seq, hash_ = self._database.call(
            _SQL["quarantine_discard"],
            {
                "request_id": request.request_id,
                "actor": request.actor,
                "host": request.host,
                "ticket": request.ticket,
                "reason": request.reason,
                **_values(wanted, record_ids),
            },
        )
        return None if messages is None else Discarded(messages, newest, Head(seq, bytes(hash_)))


def _values(wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None) -> dict[str, object]:
    ids = None if record_ids is None else list(record_ids)
    return {"record_ids": ids, **dataclasses.asdict(wanted)}
