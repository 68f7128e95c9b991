"""From messages to rows: ids, ranges, dates, tokens and ciphertexts."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import pickle
import time
import uuid
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions
import pytest

from tests.kit.declared import DEVICE_ID, FIELDS, IP, USER_LOGINS, login_place
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.receipts import any_receipt
from tests.kit.login_kinds import KINDS
from tests.kit.login_records import column
from tests.kit.parsed import LOGINS
from vault_etl.audit.opening import Opener
from vault_etl.base.pii import REDACTED, Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.records.messages import (
    Message,
    Parsed,
    RecordRange,
    RecordRanges,
    SealedRecord,
    parse_message,
)
from vault_etl.records.sealing import RecordSealer, seal_rejection

MESSAGE_ID = "5fea7756-0ea4-451a-a703-a558b933e274"
SENT_MS = 1_767_225_600_123  # 2026-01-01T00:00:00.123Z
EVERYTHING = (RecordRange(USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)),)
KEYS = {field: DataKey(7, field, KeyMaterial(bytes(32))) for field in FIELDS}
SEALER = Sealer(KEYS.values())


def tokenizer(generation: int) -> Tokenizer:
    """The tokenizer of a generation: each generation has its own keys."""
    material = KeyMaterial(bytes([generation]) * 32)
    return Tokenizer((TokenKey(1, field, generation, material) for field in KINDS), KINDS)


def message(body: bytes, sent_ms: int = SENT_MS) -> Message:
    """One delivery of a message with this body."""
    return Message(MESSAGE_ID, "receipt", Pii(body), sent_ms)


def row(body: bytes, sent_ms: int = SENT_MS, pending: Tokenizer | None = None) -> SealedRecord:
    """The row of this body."""
    parsed = parse_message(LOGINS, message(body, sent_ms), RecordRanges(EVERYTHING))
    assert isinstance(parsed.content, ParsedEvent)
    return RecordSealer(SEALER, tokenizer(1), pending).seal(parsed.record_id, parsed.content)


def opened(stored: bytes, place: ValuePlace) -> bytes:
    """The plaintext of a ciphertext."""
    return Opener(any_receipt()).open(stored, place, KEYS[place.field]).expose()


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine is in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_time_zone")
@pytest.mark.parametrize(
    ("sent", "day"),
    [
        ("2026-01-31T23:59:59.999+00:00", dt.date(2026, 1, 31)),
        ("2026-02-01T00:00:00.000+00:00", dt.date(2026, 2, 1)),
        ("2024-02-29T12:00:00.000+00:00", dt.date(2024, 2, 29)),
    ],
)
def test_an_event_without_a_date_has_the_day_it_was_sent(sent: str, day: dt.date) -> None:
    """The day is in UTC, whatever the time zone of the machine, and never the day of the load."""
    sent_ms = int(dt.datetime.fromisoformat(sent).timestamp() * 1000)
    assert column(row(login_event(), sent_ms), "create_date") == day


def test_an_events_own_date_wins() -> None:
    """The date of the event takes precedence over the day it was sent."""
    assert column(row(login_event(create_date="2025-12-24")), "create_date") == dt.date(
        2025, 12, 24
    )


def test_the_record_id_is_that_of_the_message() -> None:
    """The id does not depend on the content: two equal logins are two events."""
    expected = record_id_of_message(MESSAGE_ID, SENT_MS)
    assert (
        parse_message(LOGINS, message(login_event()), RecordRanges(EVERYTHING)).record_id
        == expected
    )
    assert parse_message(LOGINS, message(b"junk"), RecordRanges(EVERYTHING)).record_id == expected


def test_a_range_holds_its_first_id_and_not_its_end() -> None:
    """A range has the bounds of a partition."""
    record_id = record_id_of_message(MESSAGE_ID, SENT_MS)
    before, after = (uuid.UUID(int=record_id.int + step) for step in (-1, 1))

    def content(first: uuid.UUID, end: uuid.UUID) -> ParsedEvent | Rejection:
        return parse_message(
            LOGINS, message(login_event()), RecordRanges([RecordRange(USER_LOGINS, first, end)])
        ).content

    assert isinstance(content(record_id, after), ParsedEvent)
    assert content(before, record_id) == Rejection(Reason.SENT_OUT_OF_RANGE)
    assert content(after, uuid.UUID(int=2**128 - 1)) == Rejection(Reason.SENT_OUT_OF_RANGE)


def test_a_message_sent_outside_every_partition_is_rejected() -> None:
    """The message is rejected before any SQL; one partition among several is enough to accept a message."""
    parsed = parse_message(LOGINS, message(login_event()), RecordRanges())
    assert parsed.content == Rejection(Reason.SENT_OUT_OF_RANGE, "$")
    elsewhere = RecordRange(USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=1))
    parsed = parse_message(
        LOGINS, message(login_event()), RecordRanges((elsewhere, *EVERYTHING, elsewhere))
    )
    assert isinstance(parsed.content, ParsedEvent)


def test_a_closed_range_is_reported_unless_it_is_open_too() -> None:
    """A month that is about to be detached still accepts rows."""
    closed = dataclasses.replace(EVERYTHING[0], closed=True)
    parsed = parse_message(LOGINS, message(login_event()), RecordRanges([closed]))
    assert parsed.content == Rejection(Reason.MONTH_CLOSED)
    assert isinstance(
        parse_message(LOGINS, message(login_event()), RecordRanges((closed, *EVERYTHING))).content,
        ParsedEvent,
    )


def test_a_time_beyond_48_bits_is_out_of_range() -> None:
    """Such a message is quarantined like any other."""
    parsed = parse_message(LOGINS, message(login_event(), 2**60), RecordRanges())
    assert parsed.content == Rejection(Reason.SENT_OUT_OF_RANGE)


def test_a_body_that_is_not_an_event_keeps_its_reason_out_of_range() -> None:
    """The reason of the parser takes precedence over the range."""
    parsed = parse_message(LOGINS, message(b"junk"), RecordRanges())
    assert parsed.content == Rejection(Reason.NOT_JSON)


def test_a_row_has_the_plain_columns_of_its_event() -> None:
    """The row has each plain value of the event and no other."""
    made = row(login_event(locale=None))
    assert (made.subject, column(made, "device_type")) == ("user-1", "android")
    assert (column(made, "locale"), column(made, "app_version")) == (None, "2.3.0")
    assert made.record_id == record_id_of_message(MESSAGE_ID, SENT_MS)


def test_the_ciphertexts_of_a_row_open_in_their_places() -> None:
    """Each ciphertext opens to its original, under its own field, row and person."""
    made = row(login_event(ip=" ::ffff:198.51.100.7"))
    opens = {
        field: opened(stored, login_place(field, made.record_id, "user-1"))
        for field, stored in made.ciphertexts.items()
    }
    assert opens == {IP: b" ::ffff:198.51.100.7", DEVICE_ID: b"593-47-5928"}


def test_the_tokens_of_a_row_are_of_the_active_generation() -> None:
    """A row has one token a personal field, and no next token while no generation is pending."""
    made = row(login_event())
    expected = {
        IP: tokenizer(1).token(IP, Pii(b"198.51.100.7")),
        DEVICE_ID: tokenizer(1).token(DEVICE_ID, Pii(b"593-47-5928")),
    }
    assert (made.tokens, made.token_generation) == (expected, 1)
    assert (made.next_tokens, made.next_token_generation) == (None, None)


def test_a_row_has_next_tokens_while_a_generation_is_pending() -> None:
    """No duplicate is missed at any moment."""
    made = row(login_event(), pending=tokenizer(2))
    assert made.next_token_generation == 2
    assert made.next_tokens == {
        field: tokenizer(2).token(field, Pii(value))
        for field, value in ((IP, b"198.51.100.7"), (DEVICE_ID, b"593-47-5928"))
    }
    assert made.tokens == row(login_event()).tokens


def test_a_rejected_body_is_sealed_whole() -> None:
    """A body may hold a personal value: the body opens to every byte in quarantine, and in no other place."""
    body = b'\xff{"ip": "198.51.100.7"'
    parsed = parse_message(LOGINS, message(body), RecordRanges(EVERYTHING))
    assert isinstance(parsed.content, Rejection)
    made = seal_rejection(parsed, parsed.content, SEALER)
    assert (made.record_id, made.reason, made.path) == (parsed.record_id, Reason.NOT_UTF8, "$")
    assert b"198.51.100.7" not in made.body_ciphertext
    assert opened(made.body_ciphertext, ValuePlace.in_quarantine(made.record_id)) == body


def test_no_printed_form_of_a_message_shows_its_body() -> None:
    """Messages and their parsed parts may reach logs and tracebacks."""
    parsed: Parsed = parse_message(LOGINS, message(login_event()), RecordRanges(EVERYTHING))
    for shown in (repr(parsed), repr(parsed.message), repr(parsed.content)):
        assert "198.51.100.7" not in shown
        assert "593-47-5928" not in shown


def test_a_message_is_not_hashed_compared_pickled_copied_or_written() -> None:
    """Messages and their parsed parts are tuples, which JSON and psycopg2 would write: the values in them refuse."""
    parsed, again = (
        parse_message(LOGINS, message(login_event()), RecordRanges(EVERYTHING)) for _ in range(2)
    )
    parts = (parsed, parsed.message, parsed.content)
    for part, same in zip(parts, (again, again.message, again.content), strict=True):
        for attempt in (hash, pickle.dumps, copy.deepcopy, json.dumps, same.__eq__):
            with pytest.raises(TypeError):
                attempt(part)
    with pytest.raises(psycopg2.ProgrammingError, match="can't adapt"):
        psycopg2.extensions.adapt(parsed.message).getquoted()
    assert isinstance(parsed.content, ParsedEvent)
    assert {str(form) for form in parsed.content.forms.values()} == {REDACTED}
