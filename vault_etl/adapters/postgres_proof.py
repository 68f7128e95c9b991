"""The whole audit log from Postgres at one moment, streamed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg2.extensions

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.sql import blocks
from vault_etl.core.audit_chain import LoggedEntry
from vault_etl.core.checkpoint import Head
from vault_etl.errors import DataError
from vault_etl.ports.audit_proof import StoredNote

_SQL: Final = blocks("proof.sql")
_ROWS: Final = 5_000
"""Fetched at a time: a few MiB, whatever the log holds."""


class PostgresProver:
    """`LogProver` on Postgres, for the role audit: a REPEATABLE READ transaction, which locks nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """See `LogProver.snapshot`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["freeze"])
            yield PostgresSnapshot(cursor)


class PostgresSnapshot:
    """`LogSnapshot` in an open transaction."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._cursor = cursor

    def beginning(self) -> tuple[uuid.UUID, Head | None, Mapping[int, str]]:
        """See `LogSnapshot.beginning`. Raises DataError if nothing says which vault this is."""
        self._cursor.execute(_SQL["beginning"])
        found = self._cursor.fetchall()
        if len(found) != 1:
            message = "the table vault does not say which vault this is"
            raise DataError(message, hint="somebody changed it: compare with a backup")
        ((vault_id, seq, hash_),) = found
        self._cursor.execute(_SQL["bound"])
        bound = dict(self._cursor.fetchall())
        return vault_id, None if seq is None else Head(seq, bytes(hash_)), bound

    def entries(self) -> Iterator[LoggedEntry]:
        """See `LogSnapshot.entries`."""
        for row in self._stream("entries", _SQL["log"]):
            yield LoggedEntry._make((*row[:-2], _bytes(row[-2]), _bytes(row[-1])))

    def notes(self) -> Iterator[StoredNote]:
        """See `LogSnapshot.notes`."""
        for seq, hash_, note in self._stream("notes", _SQL["notes"]):
            yield StoredNote(seq, bytes(hash_), note)

    def _stream(self, name: str, statement: str) -> Iterator[tuple[Any, ...]]:
        with self._cursor.connection.cursor(name) as cursor:
            cursor.itersize = _ROWS
            cursor.execute(statement)
            yield from cursor


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
