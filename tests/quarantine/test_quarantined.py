"""A quarantined message, read again: what its record id says, and what today's rules say of its body."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.parsed import LOGINS
from vault_etl.base.pii import Pii
from vault_etl.crypto.record_id import (
    MAX_MILLISECONDS,
    first_millisecond,
    record_id_of_line,
    record_id_of_message,
)
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.records.messages import parse_again
from vault_etl.records.months import is_undated, month_to_make, sent_at

TODAY = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)


def sent(moment: dt.datetime) -> uuid.UUID:
    """The record id of a message sent then."""
    return record_id_of_message("m", round(moment.timestamp() * 1000))


def at(text: str) -> dt.datetime:
    """A moment in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00.001", "2026-01-31T23:59:59.999", "9999-12-31T23:59:59.999"]
)
def test_a_record_id_says_when_it_was_sent(text: str) -> None:
    """To the millisecond."""
    assert sent_at(sent(at(text))) == at(text)


@pytest.mark.parametrize("milliseconds", [0, 253_402_300_800_000, MAX_MILLISECONDS])
def test_an_id_without_a_valid_time_has_no_moment(milliseconds: int) -> None:
    """The time 0 marks lines without a known day; Python has no dates after the year 9999."""
    record_id = record_id_of_message("m", milliseconds)
    assert sent_at(record_id) is None
    assert month_to_make(record_id, TODAY) is None
    assert is_undated(record_id) is (milliseconds == 0)


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2023-12-31T23:59:59.999", None),
        ("2024-01-01T00:00:00", dt.date(2024, 1, 1)),
        ("2025-12-31T23:59:59.999", dt.date(2025, 12, 1)),
        ("2026-01-31T12:00:00", dt.date(2026, 1, 1)),
        ("2026-04-30T23:59:59.999", dt.date(2026, 4, 1)),
        ("2026-05-01T00:00:00", None),
        ("2126-01-01T00:00:00", None),
    ],
)
def test_a_month_is_made_from_two_years_back_to_three_months_ahead(
    text: str, month: dt.date | None
) -> None:
    """The bounds are those of `ensure_partition`: whole months, counted from the current one."""
    assert month_to_make(sent(at(text)), TODAY) == month


def test_a_body_is_read_by_the_rules_of_today() -> None:
    """Under the record id that it has, whose time is when it was sent."""
    record_id = sent(TODAY)
    parsed = parse_again(LOGINS, record_id, Pii(login_event(user_id="user-7")), of_line=False)
    assert isinstance(parsed.content, ParsedEvent)
    assert (parsed.record_id, parsed.content.subject) == (record_id, "user-7")
    assert parsed.message.sent_ms == round(TODAY.timestamp() * 1000)


def test_a_body_that_still_fails_has_its_reason() -> None:
    """The reason is that of the first parse."""
    parsed = parse_again(LOGINS, sent(TODAY), Pii(login_event(ip="no-address")), of_line=False)
    assert parsed.content == Rejection(Reason.NOT_AN_ADDRESS, "$.ip")


@pytest.mark.parametrize("sent_ms", [0, first_millisecond(dt.date(2026, 3, 1))])
def test_a_line_of_a_day_before_1970_is_out_of_range_again(sent_ms: int) -> None:
    """The load rejected the line for this too. A queue message has the time of the queue, also at midnight."""
    line = record_id_of_line(uuid.UUID(int=1), 7, sent_ms)
    early = Pii(login_event(create_date="1969-12-31"))
    out = Rejection(Reason.SENT_OUT_OF_RANGE, "$.create_date")
    assert parse_again(LOGINS, line, early, of_line=True).content == out
    first = parse_again(LOGINS, line, Pii(login_event(create_date="1970-01-01")), of_line=True)
    assert isinstance(first.content, ParsedEvent)
    midnight = TODAY.replace(hour=0, minute=0, second=0, microsecond=0)
    assert isinstance(
        parse_again(LOGINS, sent(midnight), early, of_line=False).content, ParsedEvent
    )
