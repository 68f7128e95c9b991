"""`create_date`: a day, or a moment with its zone."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from vault_etl.event.rejection import Reason, RejectedError

_FIELD: Final = "create_date"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?"
)
"""A subset of RFC 3339 and ISO 8601 that has one meaning. Written out, and not left to
`datetime.fromisoformat`, which takes other forms from one Python to the next."""


def event_date(text: str) -> tuple[dt.date, dt.datetime | None]:
    """The day, in UTC, and the moment in UTC, to the microsecond; of a day alone, None.

    More digits are cut off. Raises RejectedError for every other form, for a day that does not
    exist, and for a time without a zone: that is no moment, and a guess would be stored as a fact.
    """
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text), None
        parts = _MOMENT.fullmatch(text)
        if parts is None:
            raise RejectedError(Reason.NOT_A_DATE, _FIELD)
        local = dt.datetime.combine(dt.date.fromisoformat(parts["day"]), _time(parts))
        if parts["zone"] is None:
            raise RejectedError(Reason.TIME_WITHOUT_ZONE, _FIELD)
        moment = (local - _offset(parts)).replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise RejectedError(Reason.NOT_A_DATE, _FIELD) from None
    return moment.date(), moment


def _time(parts: re.Match[str]) -> dt.time:
    microseconds = (parts["fraction"] or "")[:6].ljust(6, "0")
    return dt.time(
        int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0), int(microseconds)
    )


def _offset(parts: re.Match[str]) -> dt.timedelta:
    """How far the zone is ahead of UTC."""
    ahead = dt.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    return -ahead if parts["sign"] == "-" else ahead
