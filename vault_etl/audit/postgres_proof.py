"""The whole audit log from Postgres at one moment, streamed."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg2.extensions

from vault_etl.audit.chain import BoundRow, LoggedEntry, RecordedSegment, StoredCheckpoint
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.segments.segment import SegmentEnd, Span
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_stream import pages
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/proof.sql")
_ROWS: Final = 250
"""Fetched at a time: an entry has 14 KB at most, so 4 MiB, whatever the log holds."""


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


class PostgresSnapshot:
    """`LogSnapshot` and `LogSpans` in an open transaction."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._cursor = cursor
        self._numbers = itertools.count()

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
        return self.entries_of(None)

    def entries_of(self, span: Span | None) -> Iterator[LoggedEntry]:
        """See `LogSpans.entries_of`."""
        for row in self._stream("entries", _SQL["log"], span):
            yield LoggedEntry._make((*row[:-2], _bytes(row[-2]), _bytes(row[-1])))

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """See `LogSnapshot.checkpoints`."""
        return self.checkpoints_of(None)

    def checkpoints_of(self, span: Span | None) -> Iterator[StoredCheckpoint]:
        """See `LogSpans.checkpoints_of`."""
        for row in self._stream("notes", _SQL["checkpoints"], span):
            yield _checkpoint(*row)

    def ends(self, span: Span, until: dt.datetime) -> Iterator[SegmentEnd]:
        """See `LogSpans.ends`."""
        name = f"ends_{next(self._numbers)}"  # one that is not read to its end stays open
        for seq, hash_, logged_at, *of_note in self._stream(name, _SQL["ends"], span, until):
            yield SegmentEnd(Head(seq, bytes(hash_)), logged_at, _checkpoint(seq, *of_note))

    def segments(self) -> Sequence[RecordedSegment]:
        """See `LogSnapshot.segments`."""
        self._cursor.execute(_SQL["segments"])
        return [RecordedSegment(*map(_plain, row)) for row in self._cursor.fetchall()]

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
