"""Lines of a file, from messages to rows: the time in an id, and the days that are out of range."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.declared import FIELDS, USER_LOGINS
from tests.kit.fakes.login_events import login_event, sns_envelope
from tests.kit.login_kinds import KINDS
from tests.kit.login_records import column
from tests.kit.parsed import LOGINS
from vault_etl.base.pii import Pii
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.record_id import (
    first_millisecond,
    milliseconds_of,
    record_id_of_line,
    record_id_of_message,
)
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.records.messages import (
    Line,
    Message,
    Parsed,
    RecordRange,
    RecordRanges,
    parse_message,
)
from vault_etl.records.sealing import RecordSealer

SOURCE = uuid.UUID("0b5a7d5e-2f7a-4a3f-9d7a-6f4a1c9be2d3")
SENT = dt.date(2026, 3, 1)
SENT_MS = first_millisecond(SENT)
EVERYTHING = (RecordRange(USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)),)
OLD = "1969-12-31"


def parse(
    body: bytes,
    sent_ms: int = 0,
    *,
    number: int = 7,
    ranges: tuple[RecordRange, ...] = EVERYTHING,
) -> Parsed:
    """Read a line of a file."""
    message = Message("line", "receipt", Pii(body), sent_ms, line=Line(SOURCE, number))
    return parse_message(LOGINS, message, RecordRanges(ranges))


def create_date(parsed: Parsed) -> dt.date:
    """The date of the row that a line becomes."""
    assert isinstance(parsed.content, ParsedEvent)
    sealer = Sealer(DataKey(1, field, KeyMaterial(bytes(32))) for field in FIELDS)
    tokenizer = Tokenizer((TokenKey(1, f, 1, KeyMaterial(bytes(32))) for f in KINDS), KINDS)
    day = column(
        RecordSealer(sealer, tokenizer, None).seal(parsed.record_id, parsed.content), "create_date"
    )
    assert isinstance(day, dt.date)
    return day


@pytest.mark.parametrize(
    ("changes", "sent_ms", "day"),
    [
        ({"create_date": "2025-12-24"}, 0, dt.date(2025, 12, 24)),
        ({"create_date": "2025-12-24"}, SENT_MS, dt.date(2025, 12, 24)),
        ({"create_date": "1970-01-01"}, SENT_MS, dt.date(1970, 1, 1)),
        ({"create_date": None}, SENT_MS, SENT),
        ({}, SENT_MS, SENT),
        ({}, 0, dt.date(1970, 1, 1)),
    ],
)
def test_a_line_was_sent_on_its_own_day(
    changes: dict[str, object], sent_ms: int, day: dt.date
) -> None:
    """Without a day of its own a line has the day that the caller named, else the time 0; its row has that day."""
    body = login_event(**changes)
    parsed = parse(body, sent_ms)
    assert parsed.record_id == record_id_of_line(SOURCE, 7, first_millisecond(day))
    assert create_date(parsed) == day


def test_a_message_of_the_queue_was_sent_when_the_queue_says() -> None:
    """The day that its event names does not count."""
    body = login_event(create_date="2025-12-24")
    parsed = parse_message(
        LOGINS, Message("id", "receipt", Pii(body), SENT_MS), RecordRanges(EVERYTHING)
    )
    assert parsed.record_id == record_id_of_message("id", SENT_MS)
    old = parse_message(
        LOGINS,
        Message("id", "r", Pii(login_event(create_date=OLD)), SENT_MS),
        RecordRanges(EVERYTHING),
    )
    assert isinstance(old.content, ParsedEvent)


def test_the_day_of_an_event_in_an_envelope_counts() -> None:
    """The day belongs to the event; the line is the envelope."""
    body = sns_envelope(login_event(create_date="2025-12-24").decode())
    day = first_millisecond(dt.date(2025, 12, 24))
    assert parse(body).record_id == record_id_of_line(SOURCE, 7, day)


@pytest.mark.parametrize("sent_ms", [0, SENT_MS])
def test_a_line_that_is_no_event_has_the_time_of_the_file(sent_ms: int) -> None:
    """The day of such a line is unknown."""
    for body in (b"junk", login_event(create_date="2025-12-24", ip="?")):
        parsed = parse(body, sent_ms)
        assert isinstance(parsed.content, Rejection)
        assert parsed.record_id == record_id_of_line(SOURCE, 7, sent_ms)


def test_strict_changes_no_id() -> None:
    """Otherwise a file loaded with --strict and then without would become other records."""
    for body in (login_event(email="x", create_date="2025-12-24"), login_event(email="x")):
        message = Message("line", "receipt", Pii(body), SENT_MS, line=Line(SOURCE, 7))
        strict = parse_message(LOGINS, message, RecordRanges(EVERYTHING), strict=True)
        assert strict.content == Rejection(Reason.UNKNOWN_FIELD)
        assert strict.record_id == parse(body, SENT_MS).record_id


@pytest.mark.parametrize("sent_ms", [0, SENT_MS])
def test_a_day_before_1970_is_out_of_range(sent_ms: int) -> None:
    """No record id holds such a time, so the line has the time of the file, and no partition takes the line."""
    body = login_event(create_date=OLD)
    parsed = parse(body, sent_ms)
    assert parsed.content == Rejection(Reason.SENT_OUT_OF_RANGE, "$.create_date")
    assert parsed.record_id == record_id_of_line(SOURCE, 7, sent_ms)


def test_a_line_outside_every_partition_keeps_its_own_time() -> None:
    """The line becomes a record when its month is made, and loading the file again finds the line."""
    body = login_event(create_date="2001-09-09")
    parsed = parse(body, SENT_MS, ranges=())
    assert parsed.content == Rejection(Reason.SENT_OUT_OF_RANGE, "$.create_date")
    assert parsed.record_id == parse(body, SENT_MS).record_id
    assert milliseconds_of(parsed.record_id) == first_millisecond(dt.date(2001, 9, 9))
    undated = parse(login_event(), SENT_MS, ranges=())
    assert undated.content == Rejection(Reason.SENT_OUT_OF_RANGE, "$")


def test_two_equal_lines_are_two_events() -> None:
    """Equal content does not make two lines the same event."""
    assert parse(login_event(), number=1).record_id != parse(login_event(), number=2).record_id


@pytest.mark.parametrize("body", [login_event(create_date="2025-12-24"), b"junk"])
def test_no_byte_of_a_line_is_in_its_id(body: bytes) -> None:
    """An id holds the day of an event and nothing else, because an id is kept when its record is erased."""
    other = login_event(ip="198.51.100.9", user_id="another", create_date="2025-12-24")
    other = other if body != b"junk" else b"other junk"
    assert parse(body).record_id == parse(other).record_id
