"""A quarantined message, read again: by today's rules, and by nothing but its row."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.record_id import FIRST_DAY, milliseconds_of
from vault_etl.event.events import LoginEvent, parse_event, without_extra_fields
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.records.messages import Message, Parsed

MAX_MONTHS_BACK: Final = 24
MAX_MONTHS_AHEAD: Final = 3
"""Which months may get a partition: the bounds of `ensure_partition` in the database, which has the last word."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_again(record_id: uuid.UUID, body: Pii, *, of_line: bool, strict: bool = False) -> Parsed:
    """Read a body as `parse_message` would today. The record id stays, and says when it was sent.

    The ids that the queue gave the message are not kept with it, and are empty here. A line of a file that
    names a day before 1970 is out of range, as it was when it was loaded.
    """
    message = Message(
        message_id="", receipt_handle="", body=body, sent_ms=milliseconds_of(record_id)
    )
    content = parse_event(body.expose())
    if strict:
        content = without_extra_fields(content)
    if of_line and isinstance(content, LoginEvent) and _is_early(content):
        content = Rejection(Reason.SENT_OUT_OF_RANGE, "$.create_date")
    return Parsed(record_id, message, content)


def _is_early(event: LoginEvent) -> bool:
    return event.create_date is not None and event.create_date < FIRST_DAY


def is_undated(record_id: uuid.UUID) -> bool:
    """Whether it has the time 0: a line of a file whose day nobody knows. These have a partition of their own."""
    return milliseconds_of(record_id) == 0


def sent_at(record_id: uuid.UUID) -> dt.datetime | None:
    """The moment in a record id. None for the time 0, which is nobody's, and for one after the year 9999."""
    if is_undated(record_id):
        return None
    try:
        return _EPOCH + dt.timedelta(milliseconds=milliseconds_of(record_id))
    except OverflowError:
        return None


def month_to_make(record_id: uuid.UUID, today: dt.datetime) -> dt.date | None:
    """The first day of the month that the record belongs to, if that month may get a partition today."""
    sent = sent_at(record_id)
    if sent is None:
        return None
    ahead = (sent.year - today.year) * 12 + sent.month - today.month
    return sent.date().replace(day=1) if -MAX_MONTHS_BACK <= ahead <= MAX_MONTHS_AHEAD else None
