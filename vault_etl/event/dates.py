"""Days and moments in a message: the forms that have one meaning (docs/formats.md, Days and moments)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from vault_etl.event.rejection import Reason, RejectedError

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?"
)
"""A subset of RFC 3339 and ISO 8601 in which every text has one meaning. The pattern is written out because
the forms that `datetime.fromisoformat` accepts change between versions of Python."""


def event_date(text: str, path: str) -> tuple[dt.date, dt.datetime | None]:
    """Return the day in UTC, and the time in UTC to the microsecond: None for a day alone.

    Further digits are cut off. `path` is the place in the message. Raises RejectedError for every other form,
    for a day that does not exist, and for a time without a zone: a guess of the zone would be stored as a fact.
    """
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text), None
        parts = _MOMENT.fullmatch(text)
        if parts is None:
            raise RejectedError(Reason.NOT_A_DATE, path)
        local = dt.datetime.combine(dt.date.fromisoformat(parts["day"]), _time(parts))
        if parts["zone"] is None:
            raise RejectedError(Reason.TIME_WITHOUT_ZONE, path)
        moment = (local - _offset(parts)).replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise RejectedError(Reason.NOT_A_DATE, path) from None
    return moment.date(), moment


def _time(parts: re.Match[str]) -> dt.time:
    microseconds = (parts["fraction"] or "")[:6].ljust(6, "0")
    return dt.time(
        int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0), int(microseconds)
    )


def _offset(parts: re.Match[str]) -> dt.timedelta:
    """Return how far the zone is ahead of UTC."""
    ahead = dt.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    return -ahead if parts["sign"] == "-" else ahead
