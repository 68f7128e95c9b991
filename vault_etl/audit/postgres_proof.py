"""A snapshot of the whole audit log from Postgres, streamed."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.audit.chain import BoundRow, LoggedEntry, RecordedSegment, StoredCheckpoint
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.segments.segment import LogSpans, SegmentEnd, Span
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_stream import pages
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/proof.sql")
_ROWS: Final = 250
"""The rows of one fetch: an entry has 14 KB at most, so 4 MiB, however long the log is."""


class PostgresProver:
    """Reads the whole log for the role audit, in a REPEATABLE READ transaction, which blocks no writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """Yield the whole log as it is now, while others append. Raises DeniedError, UnavailableError."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["freeze"])
            yield PostgresSnapshot(cursor)


class PostgresSnapshot(LogSpans):
    """The log in an open transaction."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._cursor = cursor
        self._numbers = itertools.count()

    @override
    def vault_ids(self) -> Sequence[uuid.UUID]:
        self._cursor.execute(_SQL["vaults"])
        return [vault_id for (vault_id,) in self._cursor.fetchall() if vault_id is not None]

    @override
    def heads(self) -> Sequence[Head]:
        self._cursor.execute(_SQL["heads"])
        return [Head(seq, _bytes(hash_) or b"") for seq, hash_ in self._cursor.fetchall()]

    @override
    def entries(self) -> Iterator[LoggedEntry]:
        return self.entries_of(None)

    @override
    def entries_of(self, span: Span | None) -> Iterator[LoggedEntry]:
        for row in self._stream("entries", _SQL["log"], span):
            yield LoggedEntry._make((*row[:-2], _bytes(row[-2]), _bytes(row[-1])))

    @override
    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        return self.checkpoints_of(None)

    @override
    def checkpoints_of(self, span: Span | None) -> Iterator[StoredCheckpoint]:
        for row in self._stream("notes", _SQL["checkpoints"], span):
            yield _checkpoint(*row)

    @override
    def ends(self, span: Span, until: dt.datetime) -> Iterator[SegmentEnd]:
        name = f"ends_{next(self._numbers)}"  # a cursor that is not read to its end stays open
        for seq, hash_, logged_at, *of_note in self._stream(name, _SQL["ends"], span, until):
            yield SegmentEnd(Head(seq, bytes(hash_)), logged_at, _checkpoint(seq, *of_note))

    @override
    def segments(self) -> Sequence[RecordedSegment]:
        self._cursor.execute(_SQL["segments"])
        return [RecordedSegment(*map(_plain, row)) for row in self._cursor.fetchall()]

    @override
    def bound(self) -> Iterator[BoundRow]:
        yield from map(BoundRow._make, self._stream("bound", _SQL["bound"]))

    @override
    def wrong_amounts(self) -> Iterator[int]:
        for (seq,) in self._stream("amounts", _SQL["wrong_amounts"]):
            yield seq

    @override
    def unexplained_keys(self) -> Iterator[int]:
        for (key_id,) in self._stream("unexplained", _SQL["unexplained"]):
            yield key_id

    def _stream(
        self, name: str, statement: str, span: Span | None = None, until: dt.datetime | None = None
    ) -> Iterator[tuple[Any, ...]]:
        first, last = span or (None, None)
        values = {"first_seq": first, "last_seq": last, "until": until}
        for rows in pages(self._cursor, name, statement, _ROWS, values):
            yield from rows


def _checkpoint(
    seq: int,
    hash_: memoryview | None,
    key_hash: memoryview | None,
    signature: memoryview | None,
    stored_by: str | None,
) -> StoredCheckpoint:
    return StoredCheckpoint(seq, _bytes(hash_), _bytes(key_hash), _bytes(signature), stored_by)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    return bytes(value) if isinstance(value, memoryview) else value


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
