"""Messages of the queue and lines of a file: parsed, as rows, and their outcome."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.record_id import (
    FIRST_DAY,
    MAX_MILLISECONDS,
    first_millisecond,
    milliseconds_of,
    record_id_of_line,
    record_id_of_message,
)
from vault_etl.event.events import EventParser, without_extra_fields
from vault_etl.event.parsed_event import ParsedEvent, PlainValue
from vault_etl.event.rejection import Reason, Rejection


class Line(NamedTuple):
    """The source of a line, and the number of the line, counted from 1."""

    source_id: uuid.UUID
    number: int


class Message(NamedTuple):
    """A receive of a message. `sent_ms` is its SentTimestamp, milliseconds since 1970 UTC.

    For a line, `sent_ms` is the day that the caller named for the whole file, or 0. The record id of a line comes
    from the line, and not from `message_id`.
    """

    message_id: str
    receipt_handle: str
    body: Pii
    sent_ms: int
    receive_count: int = 1
    line: Line | None = None


class Outcome(StrEnum):
    """The outcome of a message. Every outcome except `RETRY` is committed, and the message may be deleted."""

    STORED = "stored"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    ALREADY_QUARANTINED = "already_quarantined"
    RETRY = "retry"


EventMonth = tuple[EventName, dt.date]
"""A month of the records of an event, by any day of the month."""


@dataclass(frozen=True, slots=True)
class RecordRange:
    """The bounds of a partition of an event: record ids from `first` up to but not `end`.

    A `closed` partition was detached or dropped on the record, and takes no rows.
    """

    event: EventName
    first: uuid.UUID
    end: uuid.UUID
    closed: bool = False


class RecordRanges:
    """The partitions of all events, to be searched by the event and the id of a record."""

    def __init__(self, ranges: Iterable[RecordRange] = ()) -> None:
        self._open: dict[EventName, list[tuple[int, int]]] = {}
        self._closed: dict[EventName, list[tuple[int, int]]] = {}
        for one in sorted(ranges, key=lambda one: one.first, reverse=True):
            of_event = (self._closed if one.closed else self._open).setdefault(one.event, [])
            of_event.append((one.first.int, one.end.int))

    def take(self, event: EventName, record_id: uuid.UUID) -> bool:
        """Tell whether a partition of the event takes the record."""
        return _holds(self._open.get(event, ()), record_id.int)

    def are_closed(self, event: EventName, record_id: uuid.UUID) -> bool:
        """Tell whether the partition of the record was detached or dropped on the record."""
        return _holds(self._closed.get(event, ()), record_id.int)


def _holds(ranges: Iterable[tuple[int, int]], record_id: int) -> bool:
    """Search the newest months first: nearly all records are of them."""
    for first, end in ranges:  # noqa: SIM110 - a generator costs more than the search
        if first <= record_id < end:
            return True
    return False


class Parsed(NamedTuple):
    """A parsed message: its record id, and its event, or the reason why it is not an event."""

    record_id: uuid.UUID
    message: Message
    content: ParsedEvent | Rejection
    without_month: EventName | None = None
    """The event of a message that is rejected because the month of its record id takes no rows of the event."""


class SealedRecord(NamedTuple):
    """A row of the table of an event, without personal plaintext.

    Tokens and ciphertexts are by the names of the values in the event; the token of a derived form has the name
    `ip/network`. An optional value that the message does not have is in none of them.
    """

    event: EventName
    record_id: uuid.UUID
    subject: str
    tokens: dict[FieldName, uuid.UUID]
    next_tokens: dict[FieldName, uuid.UUID] | None
    ciphertexts: dict[FieldName, bytes]
    token_generation: int
    next_token_generation: int | None
    plain: Mapping[str, PlainValue]
    """The plain values by their columns, subject and day too."""
    receive_count: int = 1
    """As of the message: one that was received before may be stored."""


@dataclass(frozen=True, slots=True)
class SealedRejection:
    """A row of `quarantine`: the reason, the path in the message, and the sealed body."""

    record_id: uuid.UUID
    reason: Reason
    path: str
    body_ciphertext: bytes
    receive_count: int = 1
    source_id: uuid.UUID | None = None
    """The file of the line; None for a message of a queue."""
    queue: str | None = None
    """The queue whose events a retry takes; None: the content alone says of which event the message is."""


def parse_message(
    parser: EventParser, message: Message, ranges: RecordRanges, *, strict: bool = False
) -> Parsed:
    """Parse a message. A message without a partition is rejected before any SQL sees it.

    A line counts as sent on the day that its event names, if the event names a day. That holds for an event that
    `strict` rejects too, so that a load that is not strict finds the line under the same id. Raises ValueError if
    `sent_ms` does not fit a record id; no queue sends such a time.
    """
    content = parser.parse(message.body.expose())
    named_day = _day_of_line(message, content)
    record_id = _record_id(message, named_day)
    in_range = named_day is None or named_day >= FIRST_DAY
    if strict:
        content = without_extra_fields(content)
    if isinstance(content, ParsedEvent):
        event, name = content.event, content.event.name
        if not (in_range and ranges.take(name, record_id)):
            is_closed = in_range and ranges.are_closed(name, record_id)
            reason = Reason.MONTH_CLOSED if is_closed else Reason.SENT_OUT_OF_RANGE
            rejection = Rejection(reason, "$" if named_day is None else str(event.day.path))
            return Parsed(record_id, message, rejection, name if in_range else None)
    return Parsed(record_id, message, content)


def _day_of_line(message: Message, content: ParsedEvent | Rejection) -> dt.date | None:
    """The day that the event of a line names. The day in a message of a queue is not its time of sending."""
    is_line = message.line is not None
    return content.day if is_line and isinstance(content, ParsedEvent) else None


def _record_id(message: Message, named_day: dt.date | None) -> uuid.UUID:
    """The record id. An id has no time before 1970: such a day does not count, and its event is rejected."""
    sent_ms = min(message.sent_ms, MAX_MILLISECONDS)
    if message.line is None:
        return record_id_of_message(message.message_id, sent_ms)
    if named_day is not None and named_day >= FIRST_DAY:
        sent_ms = first_millisecond(named_day)
    return record_id_of_line(message.line.source_id, message.line.number, sent_ms)


def parse_again(
    parser: EventParser, record_id: uuid.UUID, body: Pii, *, of_line: bool, strict: bool = False
) -> Parsed:
    """Parse a quarantined body by today's rules, as `parse_message` would. The record id stays, with its time.

    The ids that the queue gave the message are not stored, and are empty here. A line of a file that
    names a day before 1970 is out of range, as it was when it was loaded.
    """
    message = Message(
        message_id="", receipt_handle="", body=body, sent_ms=milliseconds_of(record_id)
    )
    content = parser.parse(body.expose())
    if strict:
        content = without_extra_fields(content)
    if of_line and isinstance(content, ParsedEvent) and _is_early(content):
        content = Rejection(Reason.SENT_OUT_OF_RANGE, str(content.event.day.path))
    return Parsed(record_id, message, content)


def _is_early(event: ParsedEvent) -> bool:
    return event.day is not None and event.day < FIRST_DAY
