"""Events of another declaration: values by path, optional ones, columns of each type, and the event of a message."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any, Final

import pytest

from tests.kit.declarations import TWO_EVENTS, TWO_EVENTS_TOML
from tests.kit.fakes.login_events import login_event, sns_envelope
from vault_etl.declaration.parse import parse_declaration
from vault_etl.event.events import EventParser, without_extra_fields
from vault_etl.event.known_names import KnownNames
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

PARSER: Final = EventParser(TWO_EVENTS)
MESSAGE: Final[dict[str, Any]] = {
    "type": "sign-up",
    "client": {"ip": "198.51.100.7", "user": "p-1", "port": 4711},
    "office": {"ip-address": "203.0.113.9"},
    "card": "4111",
    "user": "1.10",
    "at": "2026-01-31T23:30:00-01:00",
    "age": "?age",
    "price": "?price",
    "is_new": True,
    "born": "2001-02-03",
    "since": "2020-01-01T00:00:00Z",
}
NUMBERS: Final = {"age": "-41", "price": "19.90"}


def body(numbers: dict[str, str] | None = None, **changes: Any) -> bytes:  # noqa: ANN401 - bad ones too
    """A message with these values changed, and numbers in their spelling."""
    text = json.dumps(MESSAGE | changes)
    for name, spelling in (NUMBERS | (numbers or {})).items():
        text = text.replace(f'"?{name}"', spelling)
    return text.encode()


def parsed(message: bytes, parser: EventParser = PARSER) -> ParsedEvent:
    """The event in a message that is one."""
    event = parser.parse(message)
    assert isinstance(event, ParsedEvent), event
    return event


def test_each_value_is_taken_from_its_path() -> None:
    """A number keeps its spelling, and a moment gives the day in UTC."""
    event = parsed(body())
    assert event.event.name == "sign_ups"
    assert (event.subject, event.day) == ("p-1", dt.date(2026, 2, 1))
    assert {name: value.expose() for name, value in event.personal.items()} == {
        "home_ip": b"198.51.100.7",
        "office_ip": b"203.0.113.9",
        "card": b"4111",
    }
    assert event.plain == {
        "person": "p-1",
        "user": "1.10",
        "day": dt.date(2026, 2, 1),
        "at": dt.datetime(2026, 2, 1, 0, 30, tzinfo=dt.UTC),
        "age": "-41",
        "price": "19.90",
        "is_new": True,
        "born": dt.date(2001, 2, 3),
        "since": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    }
    assert event.extra_fields == ()


@pytest.mark.parametrize("absent", [None, "", " \u200b"])
def test_an_optional_personal_value_may_be_missing_or_blank(absent: str | None) -> None:
    """Programs write blank text for a value that they do not know."""
    assert list(parsed(body(card=absent)).personal) == ["home_ip", "office_ip"]


@pytest.mark.parametrize("office", [None, "text", ["203.0.113.9"], {}, {"ip-address": None}, True])
def test_a_value_within_one_that_is_no_object_is_missing(office: object) -> None:
    """A path ends there."""
    assert list(parsed(body(office=office)).personal) == ["card", "home_ip"]


FAULTS: Final = [
    ({"client": None}, Reason.FIELD_MISSING, "$.client.user"),
    ({"client": "198.51.100.7"}, Reason.FIELD_MISSING, "$.client.user"),
    ({"client": {"user": "p", "ip": None}}, Reason.FIELD_NULL, "$.client.ip"),
    ({"client": {"user": "p", "ip": ""}}, Reason.FIELD_EMPTY, "$.client.ip"),
    ({"client": {"user": "p" * 65, "ip": "::1"}}, Reason.FIELD_TOO_LONG, "$.client.user"),
    ({"office": {"ip-address": "x"}}, Reason.NOT_AN_ADDRESS, "$.office['ip-address']"),
    ({"card": "4" * 41}, Reason.FIELD_TOO_LONG, "$.card"),
    ({"card": {"number": "4111"}}, Reason.FIELD_NOT_TEXT, "$.card"),
    ({"is_new": None}, Reason.FIELD_NULL, "$.is_new"),
    ({"is_new": "yes"}, Reason.NOT_A_BOOLEAN, "$.is_new"),
    ({"is_new": 1}, Reason.NOT_A_BOOLEAN, "$.is_new"),
    ({"age": 1.5}, Reason.NOT_A_NUMBER, "$.age"),
    ({"age": True}, Reason.NOT_A_NUMBER, "$.age"),
    ({"age": ""}, Reason.NOT_A_NUMBER, "$.age"),
    ({"age": 2**63}, Reason.NOT_A_NUMBER, "$.age"),
    ({"price": "1,5"}, Reason.NOT_A_NUMBER, "$.price"),
    ({"price": "1" * 65}, Reason.NOT_A_NUMBER, "$.price"),
    ({"born": "2001-02-30"}, Reason.NOT_A_DATE, "$.born"),
    ({"since": "2020-01-01"}, Reason.NOT_A_DATE, "$.since"),
    ({"since": "2020-01-01T00:00"}, Reason.TIME_WITHOUT_ZONE, "$.since"),
]


@pytest.mark.parametrize(("changes", "reason", "path"), FAULTS)
def test_a_fault_names_the_path_of_its_value(
    changes: dict[str, Any], reason: Reason, path: str
) -> None:
    """The path is the declared one, whatever the message holds."""
    assert PARSER.parse(body(**changes)) == Rejection(reason, path)


@pytest.mark.parametrize("spelling", ["0", "-9223372036854775808", '"9223372036854775807"', "-0"])
def test_whole_numbers_of_64_bits_are_taken(spelling: str) -> None:
    """The cells of CSV are texts, so the text of a number counts as it."""
    assert parsed(body({"age": spelling})).plain["age"] == spelling.strip('"')


@pytest.mark.parametrize("spelling", ["1.10", "-0.5", "1e-7", '"2.50"', "7E+20"])
def test_decimal_numbers_keep_their_spelling(spelling: str) -> None:
    """No digit is lost on the way to Postgres."""
    assert parsed(body({"price": spelling})).plain["price"] == spelling.strip('"')


def test_the_discriminator_chooses_the_event() -> None:
    """A message that no event takes has a reason of its own; it is never stored in part."""
    order = {"type": "order", "buyer": "b", "ip": "::1", "client": {"ip": "198.51.100.7"}}
    event = parsed(json.dumps(order).encode())
    assert (event.event.name, event.subject, list(event.personal)) == ("orders", "b", ["ip"])
    assert event.extra_fields == ("client",)
    assert without_extra_fields(event) == Rejection(Reason.UNKNOWN_FIELD)
    for kind in (None, "Order", 7, ["order"]):
        other = json.dumps(order | {"type": kind}).encode()
        assert PARSER.parse(other) == Rejection(Reason.NO_EVENT)
    assert PARSER.parse(login_event()) == Rejection(Reason.NO_EVENT)


def test_an_envelope_with_a_name_of_ours_is_opened() -> None:
    """CloudEvents has a `type` too: it makes no event, unless its text is that of the discriminator."""
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "data": json.loads(body())}
    assert parsed(json.dumps(envelope | {"type": "com.example.event"}).encode()).subject == "p-1"
    assert PARSER.parse(json.dumps(envelope | {"type": "order"}).encode()) == Rejection(
        Reason.FIELD_MISSING, "$.buyer"
    )
    assert parsed(sns_envelope(body().decode())).subject == "p-1"


def test_the_queue_chooses_the_event() -> None:
    """A line of a file and a body of the quarantine have no queue: two events could take them."""
    text = TWO_EVENTS_TOML.replace(
        'when = {path = "$.type", equals = "sign-up"}', 'queue = "sign-ups"'
    ).replace('when = {path = "$.type", equals = "order"}', 'queue = "orders"')
    declaration = parse_declaration(text.encode(), "queues.toml")
    assert parsed(body(), EventParser(declaration, "sign-ups")).event.name == "sign_ups"
    assert EventParser(declaration, "orders").parse(body()) == Rejection(
        Reason.FIELD_MISSING, "$.buyer"
    )
    for queue in ("others", None):
        assert EventParser(declaration, queue).parse(body()) == Rejection(Reason.NO_EVENT)


def test_retired_values_are_not_taken() -> None:
    """Their names are known, so strict mode does not refuse a sender that still has them."""
    text = TWO_EVENTS_TOML.replace(
        'card = {token = "order"}', 'card = {token = "order", retired = true}'
    )
    event = parsed(body(), EventParser(parse_declaration(text.encode(), "retired.toml")))
    assert list(event.personal) == ["home_ip", "office_ip"]
    assert event.extra_fields == ()


def test_content_has_the_names_of_all_events() -> None:
    """A header row must have what one event requires; a path into an object is in no header row."""
    names = KnownNames.of(TWO_EVENTS)
    assert {"client", "office", "card", "buyer", "type"} <= names.known
    assert names.of_events == (
        ("type", "buyer"),
        ("type", "is_new", "$.client.user", "$.client.ip"),
    )
    assert names.missing(frozenset({"type", "ip"})) == (("buyer",), ("type", "buyer"))


def test_a_parser_knows_whether_any_event_is_taken() -> None:
    """A queue that no event names, and an event that is retired, leave nothing to parse."""
    text = TWO_EVENTS_TOML.replace('subject = "person"', 'subject = "person"\nqueue = "sign-ups"')
    declaration = parse_declaration(
        text.replace('subject = "buyer"', 'subject = "buyer"\nqueue = "orders"').encode(),
        "queues.toml",
    )
    assert EventParser(declaration, "orders").events
    assert EventParser(declaration).events
    assert not EventParser(declaration, "others").events


def test_a_line_of_a_named_event_has_no_value_that_is_personal_elsewhere() -> None:
    """Neither where this event has it in clear, nor where this event does not know it; a blank cell is no value."""
    text = TWO_EVENTS_TOML
    text = re.sub('when = .*"sign-up"}', 'queue = "sign-ups"', text)
    text = re.sub('when = .*"order"}', 'queue = "orders"', text)
    text += 'note = {type = "text", max = 64, path = "$.card"}\n'
    declaration = parse_declaration(text.encode(), "queues.toml")
    of_queue = EventParser(declaration, "orders")
    of_lines = EventParser(declaration, "orders", event="orders", of_lines=True)
    again = EventParser.of_quarantined(declaration, "orders", of_line=True)
    order = {"buyer": "b", "ip": "198.51.100.7"}
    for other in ({}, {"card": ""}, {"card": None}, {"client": {"user": "u"}}):
        for parser in (of_queue, of_lines, again):
            assert parsed(json.dumps(order | other).encode(), parser).event.name == "orders"
    for other, path in (({"card": "4111"}, "$.card"), ({"client": {"ip": "x"}}, "$.client.ip")):
        line = json.dumps(order | other).encode()
        assert of_lines.parse(line) == again.parse(line) == Rejection(Reason.NO_EVENT, path)
        assert isinstance(of_queue.parse(line), ParsedEvent)
