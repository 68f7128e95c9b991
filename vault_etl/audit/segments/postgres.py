"""Segments on the record, and the deletion of their entries, on Postgres, for the owner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.postgres_owner import as_owner
from vault_etl.audit.postgres_proof import PostgresSnapshot
from vault_etl.audit.segments.segment import SegmentManifest
from vault_etl.audit.segments.trim import LogTrimmer
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/segments/trim.sql")
_NAME: Final = "audit trim"


class PostgresTrimmer(LogTrimmer):
    """Trims the log for a login that may act as the owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        with as_owner(self._database, _NAME, frozen=True) as cursor:
            yield PostgresSnapshot(cursor)

    @override
    def kept(self, first: int, last: int) -> int:
        with self._owner() as cursor:
            cursor.execute(_SQL["kept"], {"first_seq": first, "last_seq": last})
            ((count,),) = cursor.fetchall()
        return int(count)

    @override
    def add(self, request: AuditRequest, manifest: SegmentManifest, location: str) -> None:
        with self._owner() as cursor:
            cursor.execute(
                _SQL["add"],
                {
                    "request_id": request.request_id,
                    "actor": request.actor,
                    "host": request.host,
                    "reason": request.reason,
                    "first_seq": manifest.first,
                    "last_seq": manifest.last.seq,
                    "prev_hash": manifest.prev_hash,
                    "last_hash": manifest.last.hash,
                    "manifest_sha256": manifest.sha256,
                    "location": location,
                },
            )

    @override
    def delete(self, last: int) -> int:
        """Delete in one transaction, which blocks no other session."""
        with self._owner() as cursor:
            cursor.execute(_SQL["delete"], {"last_seq": last})
            ((count,),) = cursor.fetchall()
        return int(count)

    def _owner(self) -> contextlib.AbstractContextManager[psycopg2.extensions.cursor]:
        return as_owner(self._database, _NAME)
