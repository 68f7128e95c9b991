"""The messages that could not be records: what is known of them, and the way out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.messages import RecordRange, SealedRecord
from vault_etl.ports.record_store import KeysChanged, RowsRefused, SealedValue, WriteKeys


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row of `quarantine` without its body. The code is text: a later version may know more of them."""

    record_id: uuid.UUID
    reason_code: str
    path: str
    receive_count: int
    """How often the queue had handed the message out by then."""
    quarantined_at: dt.datetime


@dataclass(frozen=True, slots=True)
class QuarantinedCount:
    """How many rows have one reason and path, and when the last of them came."""

    reason_code: str
    path: str
    count: int
    newest: dt.datetime


class QuarantineReader(Protocol):
    """May read why and where, and no body."""

    def rows(
        self,
        *,
        reason_code: str | None = None,
        since: dt.datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[QuarantinedRow]:
        """The rows, the newest last, streamed; with `limit` the newest ones, so many."""

    def counts(
        self, *, reason_code: str | None = None, since: dt.datetime | None = None
    ) -> Iterable[QuarantinedCount]:
        """The same rows counted, the most frequent first."""

    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        """The row, or None."""


@dataclass(frozen=True, slots=True)
class Release:
    """A body as it was read, and the record that it has turned out to be."""

    body: SealedValue
    record: SealedRecord


@dataclass(frozen=True, slots=True)
class Moved:
    """Committed: these are records now. A body that changed since it was read is not among them."""

    record_ids: frozenset[uuid.UUID]


class PartitionMaker(Protocol):
    """May have months made. Every `RecordLoader` is one."""

    def prepare_partitions(self, months: Iterable[dt.date] = ()) -> tuple[RecordRange, ...]:
        """See `RecordLoader.prepare_partitions`."""


class QuarantineMover(Protocol):
    """May read bodies, and store as records those that pass."""

    def bodies(
        self, only: Sequence[uuid.UUID] | None, after: uuid.UUID | None, limit: int
    ) -> Sequence[SealedValue]:
        """The next bodies that are not erased, in the order of their record ids; of these ids, or of all."""

    def move(
        self, releases: Sequence[Release], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        """Store the records and delete the rows, in one transaction behind the fence, and commit it.

        A body that was erased or sealed anew since it was read stays what it is, and its record is
        not stored. A record that is there already stays as it is too, and its row goes.
        """
