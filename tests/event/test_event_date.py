"""`create_date`: the days and moments that are accepted, and the values that they become."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.login_events import login_event
from tests.kit.login_records import column
from tests.kit.parsed import parse_event
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

NOT_DATES = (
    "",
    "2026-02-30",
    "2026-02-29",
    "2026-13-01",
    "2026-00-10",
    "2026-01-00",
    "0000-01-01",
    "20260131",
    "2026-W05-6",
    "2026-031",
    "2026-1-31",
    "26-01-31",
    "12026-01-31",
    "-2026-01-31",
    "2026/01/31",
    "31.01.2026",
    "2026-01-31\n",
    " 2026-01-31",
    "2026-01-3\u0661",
    "\uff12026-01-31",
    "2026\u201001\u201031",
    "today",
    "infinity",
    "1769817600",
    "2026-02-30T10:00:00Z",
    "2026-02-30T10:00:00",
    "2026-01-31T24:00:00Z",
    "2026-01-31T10:60:00Z",
    "2016-12-31T23:59:60Z",
    "2026-01-31T10Z",
    "2026-01-31T1:00:00Z",
    "2026-01-31T100000Z",
    "2026-01-31T10:00:00,5Z",
    "2026-01-31T10:00:00.Z",
    "2026-01-31T10:00:00.1234567890Z",
    "2026-01-31T10:00.5Z",
    "2026-01-31T10:00:00 Z",
    "2026-01-31T10:00:00+24:00",
    "2026-01-31T10:00:00+01:60",
    "2026-01-31T10:00:00+1",
    "2026-01-31T10:00:00+01:00:00",
    "2026-01-31T10:00:00 CET",
    "2026-01-31T10:00:00+01:00[Europe/Berlin]",
    "2026-01-31_10:00:00Z",
    "2026-01-31  10:00:00Z",
    "2026-01-31T10:00:00Z\n",
    "2026-01-31T1\u0660:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
)

MOMENTS = {
    "2026-01-31T10:20:30Z": "2026-01-31T10:20:30",
    "2026-01-31t10:20:30z": "2026-01-31T10:20:30",
    "2026-01-31 10:20:30+00": "2026-01-31T10:20:30",
    "2026-01-31T10:20:30-00:00": "2026-01-31T10:20:30",
    "2026-01-31T10:20Z": "2026-01-31T10:20:00",
    "2026-01-31T10:20:30.5+0530": "2026-01-31T04:50:30.5",
    "2026-01-31T10:20:30.123456789Z": "2026-01-31T10:20:30.123456",
    "2026-01-31T23:59:59.9999999Z": "2026-01-31T23:59:59.999999",
    "2026-01-31T00:30:00+01:00": "2026-01-30T23:30:00",
    "2026-01-31T23:30:00-01:00": "2026-02-01T00:30:00",
    "2024-02-29T12:00:00+14:00": "2024-02-28T22:00:00",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999",
}


def accepted(text: str) -> ParsedEvent:
    """The event that names this date."""
    event = parse_event(login_event(create_date=text))
    assert isinstance(event, ParsedEvent), event
    return event


@pytest.mark.parametrize("text", NOT_DATES)
def test_malformed_dates_are_rejected(text: str) -> None:
    """No other form of ISO 8601, no leap second and no moment outside the years 1 to 9999 of UTC is a date."""
    rejection = parse_event(login_event(create_date=text))
    assert rejection == Rejection(Reason.NOT_A_DATE, "$.create_date")


@pytest.mark.parametrize("text", ["2026-01-31", "2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_day_is_a_day(text: str) -> None:
    """Every day that a date can hold is accepted as a day, not as a moment."""
    event = accepted(text)
    assert (event.day, column(event, "event_time")) == (dt.date.fromisoformat(text), None)


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items())
def test_a_moment_is_kept_and_its_day_is_the_day_in_utc(text: str, moment: str) -> None:
    """A moment is kept to the microsecond; more digits are cut off, and never rounded into another day."""
    event = accepted(text)
    assert column(event, "event_time") == dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    assert event.day == column(event, "event_time").date()


@pytest.mark.parametrize(
    "text", ["2026-01-31T00:00:00", "2026-01-31 23:30:00.5", "2026-01-31T10:20"]
)
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    """The reason is its own: the moment, and in the evening the day, would be a guess."""
    rejection = parse_event(login_event(create_date=text))
    assert rejection == Rejection(Reason.TIME_WITHOUT_ZONE, "$.create_date")


@given(st.datetimes(min_value=dt.datetime(2, 1, 1), max_value=dt.datetime(9998, 1, 1)), st.data())  # noqa: DTZ001 - the zone is drawn
def test_the_output_of_isoformat_is_accepted(local: dt.datetime, data: st.DataObject) -> None:
    """The output of `isoformat` is accepted in any zone of whole minutes."""
    minutes = data.draw(st.integers(-1439, 1439))
    moment = local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    assert column(accepted(moment.isoformat()), "event_time") == moment
