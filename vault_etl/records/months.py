"""Months of records: the state and bounds of each, and the month of a record id."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.record_id import first_millisecond, milliseconds_of

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_PARTITION: Final = re.compile(r"(.+)_([0-9]{4})_(0[1-9]|1[0-2])")
_HINT: Final = "`vault-etl partitions list` shows what there is"


class PartitionState(StrEnum):
    """The place of a month's rows."""

    ATTACHED = "attached"
    DETACHING = "detaching"
    """An interrupted DETACH CONCURRENTLY: the month takes no rows, and is not detached yet."""
    DETACHED = "detached"
    """The month's table is in the schema vault_etl_detached."""
    ARCHIVED = "archived"
    """Only the archive has the rows."""
    DROPPED = "dropped"
    """The rows are deleted."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of an event, a month as a rule: record ids from `first` up to but not `until`."""

    event: EventName
    name: str
    first: uuid.UUID
    until: uuid.UUID
    state: PartitionState
    rows: int | None
    """The approximate number; None if no ANALYZE has counted the rows."""
    bytes: int
    """Size on disk, with the indexes."""
    closed_at: dt.datetime | None
    archive: Archive | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """The recorded archive of an unattached month."""

    location: str
    """An absolute path, or s3://bucket/prefix."""
    manifest_sha256: bytes
    """32 bytes."""
    archived_at: dt.datetime
    erasures: int
    """The number of later erasures, of values that the archive still holds."""
    changed: bool
    """True if rows of the month's table were changed later: the month must be archived again before it is dropped."""


def parse_month(text: str) -> dt.date:
    """The first day of a month such as 2026-03. Raises UsageError."""
    found = _MONTH.fullmatch(text)
    if found is None or found[1] == "0000":
        message = "a month is given as YYYY-MM"
        raise UsageError(message, hint="for example 2026-03")
    return dt.date(int(found[1]), int(found[2]), 1)


def months_named(text: str, events: Sequence[EventName]) -> list[tuple[EventName, dt.date]]:
    """The month 2026-03 of each event, or the month of one event that is written as user_logins_2026_03.

    Raises UsageError.
    """
    found = _PARTITION.fullmatch(text)
    if found is not None and found[1] in events:
        return [(EventName(found[1]), parse_month(f"{found[2]}-{found[3]}"))]
    month = parse_month(text)
    return [(event, month) for event in events]


def next_month(month: dt.date) -> dt.date:
    """The first day of the month after this one."""
    return (month + dt.timedelta(days=31)).replace(day=1)


def months_around(today: dt.datetime) -> list[dt.date]:
    """The months that `ingest` makes at its start: two back to three ahead."""
    numbers = (today.year * 12 + today.month - 1 + ahead for ahead in range(-2, 4))
    return [dt.date(number // 12, number % 12 + 1, 1) for number in numbers]


def choose(partitions: Sequence[Partition], wanted: str) -> Partition:
    """Find the partition of that name, or the one that has all or a part of that month.

    Raises NotFoundError if no partition fits, UsageError if a month has several.
    """
    named = [partition for partition in partitions if partition.name == wanted]
    if not named and _MONTH.fullmatch(wanted):
        month = parse_month(wanted)
        first, until = first_millisecond(month), first_millisecond(next_month(month))
        named = [
            partition
            for partition in partitions
            if milliseconds_of(partition.first) < until and milliseconds_of(partition.until) > first
        ]
    if not named:
        message = f"there is no partition {wanted}"
        raise NotFoundError(message, hint=_HINT)
    kept = [partition for partition in named if partition.state is not PartitionState.DROPPED]
    if len(kept or named) > 1:
        names = ", ".join(partition.name for partition in named)
        message = f"{wanted} has several partitions: {names}"
        raise UsageError(message, hint="name one of them")
    return (kept or named)[0]


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


MAX_MONTHS_BACK: Final = 24


MAX_MONTHS_AHEAD: Final = 3
"""The bounds of months that may get a partition. The function `ensure_partition` in the database enforces them."""


def is_undated(record_id: uuid.UUID) -> bool:
    """True for the time 0: a line of a file with an unknown day. Such records have a partition of their own."""
    return milliseconds_of(record_id) == 0


def sent_at(record_id: uuid.UUID) -> dt.datetime | None:
    """The moment in a record id. None for the time 0, which means unknown, and for a moment after the year 9999."""
    if is_undated(record_id):
        return None
    try:
        return _EPOCH + dt.timedelta(milliseconds=milliseconds_of(record_id))
    except OverflowError:
        return None


def month_to_make(record_id: uuid.UUID, today: dt.datetime) -> dt.date | None:
    """The first day of the record's month, if that month may get a partition today."""
    sent = sent_at(record_id)
    if sent is None:
        return None
    ahead = (sent.year - today.year) * 12 + sent.month - today.month
    return sent.date().replace(day=1) if -MAX_MONTHS_BACK <= ahead <= MAX_MONTHS_AHEAD else None
