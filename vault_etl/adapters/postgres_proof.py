"""The whole audit log from Postgres at one moment, streamed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg2.extensions

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_stream import pages
from vault_etl.adapters.sql import blocks
from vault_etl.core.audit_chain import LoggedEntry
from vault_etl.core.checkpoint import Head
from vault_etl.ports.audit_proof import BoundRow, StoredCheckpoint

_SQL: Final = blocks("proof.sql")
_ROWS: Final = 250
"""Fetched at a time: an entry has 14 KB at most, so 4 MiB, whatever the log holds."""


class PostgresProver:
    """`LogProver` on Postgres, for the role audit: a REPEATABLE READ transaction, which locks nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """See `LogProver.snapshot`."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["freeze"])
            yield PostgresSnapshot(cursor)


class PostgresSnapshot:
    """`LogSnapshot` in an open transaction."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._cursor = cursor

    def vault_ids(self) -> Sequence[uuid.UUID]:
        """See `LogSnapshot.vault_ids`."""
        self._cursor.execute(_SQL["vaults"])
        return [vault_id for (vault_id,) in self._cursor.fetchall() if vault_id is not None]

    def heads(self) -> Sequence[Head]:
        """See `LogSnapshot.heads`."""
        self._cursor.execute(_SQL["heads"])
        return [Head(seq, _bytes(hash_) or b"") for seq, hash_ in self._cursor.fetchall()]

    def entries(self) -> Iterator[LoggedEntry]:
        """See `LogSnapshot.entries`."""
        for row in self._stream("entries", _SQL["log"]):
            yield LoggedEntry._make((*row[:-2], _bytes(row[-2]), _bytes(row[-1])))

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """See `LogSnapshot.checkpoints`."""
        for seq, hash_, key_hash, signature, login in self._stream("notes", _SQL["checkpoints"]):
            yield StoredCheckpoint(seq, _bytes(hash_), _bytes(key_hash), _bytes(signature), login)

    def bound(self) -> Iterator[BoundRow]:
        """See `LogSnapshot.bound`."""
        yield from map(BoundRow._make, self._stream("bound", _SQL["bound"]))

    def wrong_amounts(self) -> Iterator[int]:
        """See `LogSnapshot.wrong_amounts`."""
        for (seq,) in self._stream("amounts", _SQL["wrong_amounts"]):
            yield seq

    def unexplained_keys(self) -> Iterator[int]:
        """See `LogSnapshot.unexplained_keys`."""
        for (key_id,) in self._stream("unexplained", _SQL["unexplained"]):
            yield key_id

    def _stream(self, name: str, statement: str) -> Iterator[tuple[Any, ...]]:
        for rows in pages(self._cursor, name, statement, _ROWS):
            yield from rows


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
