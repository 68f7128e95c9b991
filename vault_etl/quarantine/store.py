"""The messages that could not be records: what is known of them, and the way out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.records.messages import RecordRange, SealedRecord
from vault_etl.records.store import KeysChanged, RowsRefused, WriteKeys


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row of `quarantine` without its body. The code is text: a later version may know more of them."""

    record_id: uuid.UUID
    reason_code: str
    path: str
    receive_count: int
    """How often the queue had handed the message out by then."""
    quarantined_at: dt.datetime
    source_id: uuid.UUID | None = None
    """The file that the line is of; None: a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFilter:
    """Which rows: those that match all that is not None."""

    reason_code: str | None = None
    since: dt.datetime | None = None
    """Quarantined from then on."""
    until: dt.datetime | None = None
    """Quarantined before then."""
    source: str | None = None
    """A file's `source_id`, or `queue`."""
    older_than: dt.timedelta | None = None
    """By the database's clock. Of what is counted before a discard alone, and without `until`."""


EVERY_ROW: Final = QuarantineFilter()


@dataclass(frozen=True, slots=True)
class QuarantinedCount:
    """How many rows have one reason, path and source, and when they came. Days are UTC."""

    reason_code: str
    path: str
    source_id: uuid.UUID | None
    count: int
    oldest: dt.datetime
    newest: dt.datetime
    today: int
    yesterday: int


class QuarantineReader(Protocol):
    """May read why and where, and no body."""

    def rows(
        self, wanted: QuarantineFilter = EVERY_ROW, *, limit: int | None = None
    ) -> Iterator[QuarantinedRow]:
        """The rows, the newest last, streamed; with `limit` the newest ones, so many."""

    def counts(self, wanted: QuarantineFilter = EVERY_ROW) -> Iterable[QuarantinedCount]:
        """The same rows counted, the most frequent first."""

    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        """The row, or None."""


@dataclass(frozen=True, slots=True)
class Retried:
    """Which messages are tried again: these ids, or all; of this reason, or of any."""

    only: Sequence[uuid.UUID] | None = None
    reason_code: str | None = None


EVERY_BODY: Final = Retried()


@dataclass(frozen=True, slots=True)
class Matching:
    """The quarantined messages that would be discarded."""

    messages: int
    oldest: dt.datetime | None
    newest: dt.datetime | None
    until: dt.datetime | None = None
    """What was quarantined from then on was not counted: as asked, or by the database's clock; None: all was."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A batch that is gone, and the outcome of its entry. `newest`: when its last message was quarantined."""

    messages: int
    newest: dt.datetime
    head: Head


class QuarantineDiscarder(Protocol):
    """May delete quarantined messages, each batch in one transaction with its entries, and read none.

    Not one whose body was erased: its row stays.
    """

    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> Matching:
        """Count what `discard` would delete now; of these ids, or of all."""

    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        """Delete the oldest thousand of them at most, and commit it; None if nothing matches."""


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """The sealed body of a row as it was read."""

    record_id: uuid.UUID
    ciphertext: bytes
    source_id: uuid.UUID | None = None
    """The file that the line is of; None: a queue."""


@dataclass(frozen=True, slots=True)
class Release:
    """A body as it was read, and the record that it has turned out to be."""

    body: QuarantinedBody
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
        self, wanted: Retried, after: uuid.UUID | None, limit: int
    ) -> Sequence[QuarantinedBody]:
        """The next of these bodies that are not erased, in the order of their record ids."""

    def move(
        self, releases: Sequence[Release], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        """Store the records and delete the rows, in one transaction behind the fence, and commit it.

        A body that was erased or sealed anew since it was read stays what it is, and its record is
        not stored. A record that is there already stays as it is too, and its row goes.
        """
