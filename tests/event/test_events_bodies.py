"""Bodies that are no login event as a whole."""

from __future__ import annotations

import json
import time

import pytest

from tests.kit.fakes.login_events import DEFAULTS, login_event, sns_envelope
from tests.kit.parsed import parse_event
from vault_etl.event.events import without_extra_fields
from vault_etl.event.json_body import MAX_BODY_BYTES, MAX_NESTING
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

MIB = 1024 * 1024


def reason_of(body: bytes) -> Reason:
    """The reason why this body is no event; the path of all reasons here is the whole message."""
    rejection = parse_event(body)
    assert not isinstance(rejection, ParsedEvent)
    assert rejection.path == "$"
    return rejection.reason


def strictly(body: bytes) -> ParsedEvent | Rejection:
    """The body, read by a caller that drops no field."""
    return without_extra_fields(parse_event(body))


def event_with_extra(text: str) -> bytes:
    """A good event with one more field, whose value is this JSON text."""
    return login_event()[:-1] + b', "extra": ' + text.encode() + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json at all",
        b"{",
        b"{}}",
        login_event() + b"x",
        login_event()[:-1],
        login_event()[:-1] + b",}",
        b"{'user_id': 'single quotes'}",
        b'{"user_id": undefined}',
        b'{"user_id": "raw \n newline"}',
        b'{"user_id": "bad \\x escape"}',
        b'{"user_id": "bad \\u12 escape"}',
        b'{user_id: "no quotes"}',
        b"// comment\n" + login_event(),
        b"\xef\xbb\xbf" + login_event(),  # a byte order mark
        event_with_extra("NaN"),
        event_with_extra("Infinity"),
        event_with_extra("-Infinity"),
        event_with_extra("[NaN]"),
        event_with_extra("01"),
        event_with_extra("1."),
        event_with_extra("+1"),
        event_with_extra("0x1"),
        b"\x00",
    ],
)
def test_a_body_that_is_not_json_is_rejected(body: bytes) -> None:
    """RFC 8259 is kept to: no NaN, no byte order mark, no trailing anything."""
    assert reason_of(body) is Reason.NOT_JSON


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b'{"user_id": "\xe9"}',
        b'{"user_id": "\xed\xa0\x80"}',  # a lone surrogate in the bytes
        b'{"user_id": "\xc0\x80"}',  # an overlong NUL
        b'{"user_id": "\xf5\x80\x80\x80"}',
        login_event() + b"\x80",
        login_event().decode().encode("utf-16"),
        login_event().decode().encode("utf-32"),
    ],
)
def test_a_body_that_is_not_utf8_is_rejected(body: bytes) -> None:
    """JSON between systems is UTF-8, and nothing is guessed."""
    assert reason_of(body) is Reason.NOT_UTF8


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"true", b"1", b"1.5", b'"text"', b"[1]", b"[[]]"]
)
def test_a_json_value_that_is_not_an_object_is_rejected(body: bytes) -> None:
    """A JSON value that is not an object is valid JSON, but no event."""
    assert reason_of(body) is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": "a", "user_id": "b"}',
        login_event()[:-1] + b', "ip": "203.0.113.9"}',
        login_event()[:-1] + b', "\\u0069p": "203.0.113.9"}',  # the same name, escaped
        event_with_extra('{"a": 1, "a": 1}'),
        event_with_extra('[[{"a": 1, "b": 2, "a": 1}]]'),
    ],
)
def test_a_name_that_is_there_twice_is_rejected(body: bytes) -> None:
    """RFC 8259 leaves it to each parser which of the two counts, so the user would be uncertain."""
    assert reason_of(body) is Reason.FIELD_TWICE


def test_a_body_of_1_mib_is_too_large() -> None:
    """SQS takes it; no login event is near it, be it JSON or not."""
    assert reason_of(b" " * MIB) is Reason.BODY_TOO_LARGE
    assert reason_of(login_event(extra="x" * MIB)[:MIB]) is Reason.BODY_TOO_LARGE
    assert reason_of(b"[" * MIB) is Reason.BODY_TOO_LARGE


def test_the_limit_of_a_body_is_256_kib() -> None:
    """A body at the limit is read; a body of one byte more is not."""
    body = login_event()
    assert isinstance(parse_event(body + b" " * (MAX_BODY_BYTES - len(body))), ParsedEvent)
    assert reason_of(body + b" " * (MAX_BODY_BYTES + 1 - len(body))) is Reason.BODY_TOO_LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'[{"a":' * 5_000 + b"1" + b"}]" * 5_000,
        b"[" * 10_000,
        event_with_extra("[" * 10_000 + "]" * 10_000),
        event_with_extra('{"a":' * 10_000 + "1" + "}" * 10_000),
        b'{"\\"": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",  # behind an escaped quote
        b'{"\\\\": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",  # behind an escaped backslash
    ],
)
def test_nesting_10_000_deep_is_noticed(body: bytes) -> None:
    """Deep nesting is found as arrays, objects or both, closed or not, at the top or in an extra field."""
    assert reason_of(body) is Reason.NESTED_TOO_DEEP


def test_the_limit_of_nesting_is_64() -> None:
    """A body at the limit is read, one level deeper is not; the event itself is the first level."""
    inner = MAX_NESTING - 1
    assert isinstance(parse_event(event_with_extra("[" * inner + "]" * inner)), ParsedEvent)
    one_more = event_with_extra("[" * MAX_NESTING + "]" * MAX_NESTING)
    assert reason_of(one_more) is Reason.NESTED_TOO_DEEP


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "{" * 10_000, '["' * 5_000, '\\"[{' * 3_000, "\\" * 99 + "[" * 99]
)
def test_brackets_in_a_string_are_no_nesting(text: str) -> None:
    """Escaped quotes and backslashes do not end the string."""
    assert isinstance(parse_event(login_event(extra=text)), ParsedEvent)


def test_many_brackets_beside_each_other_are_no_nesting() -> None:
    """Many brackets on one level do not count as depth."""
    assert isinstance(parse_event(event_with_extra(json.dumps([[]] * 20_000))), ParsedEvent)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 65 + b'"' + b'\\"' * 130_000,  # a string that never ends, full of quotes
        b"[" * 65 + b"\\" * 260_000,
        b"[" * 65 + b'"\\' * 130_000,
        b'"' * 130_000 + b"[" * 100_000,
        b"[" * 65 + b"9" * 260_000,
    ],
)
def test_no_body_takes_long(body: bytes) -> None:
    """A message that takes minutes to refuse stops a worker as surely as one that breaks it."""
    started = time.process_time()
    reason_of(body)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("9" * 200_000, "an integer that int() refuses"),
        ("-" + "9" * 5_000, "a negative one"),
        ("1e999999", "a float beyond every float"),
        ("1.0000000000000000000000000001", "more digits than a float has"),
    ],
)
def test_huge_numbers_in_extra_fields_are_dropped(text: str, what: str) -> None:
    """Huge numbers are JSON, and no column needs them."""
    event = parse_event(event_with_extra(text))
    assert isinstance(event, ParsedEvent), what
    assert event.extra_fields == ("extra",)


def test_extra_fields_are_accepted_and_counted() -> None:
    """Unknown fields are dropped, whatever they hold, and the count of them is kept."""
    extras: dict[str, object] = {
        "a": None,
        "b": [1, {"ip": "x"}],
        "c": {},
        "nul": "\x00",
        "lone": "\ud800",
        "": 1,
    }
    event = parse_event(json.dumps({**DEFAULTS, **extras}).encode())
    assert isinstance(event, ParsedEvent)
    assert event.extra_fields == ("(others)", "a", "b", "c", "lone", "nul")
    plain = parse_event(login_event())
    assert isinstance(plain, ParsedEvent)
    assert plain.extra_fields == ()


def test_strict_refuses_unknown_fields() -> None:
    """The refusal comes after every other fault, and without the name of the field: a path is a plain column."""
    unknown = Rejection(Reason.UNKNOWN_FIELD)
    assert strictly(login_event(email="x")) == unknown
    assert strictly(sns_envelope(login_event(email="x").decode())) == unknown
    worse = strictly(login_event(email="x", ip="?"))
    assert worse == Rejection(Reason.NOT_AN_ADDRESS, "$.ip")
    for good in (login_event(create_date=None), sns_envelope(login_event().decode())):
        assert isinstance(strictly(good), ParsedEvent)


def test_names_are_compared_as_they_are() -> None:
    """A name in another case, or with a space, is another field."""
    event = parse_event(login_event(**{"IP": "1", "ip ": "2", "Locale": "3"}))
    assert isinstance(event, ParsedEvent)
    assert event.extra_fields == ("(others)", "IP", "Locale")


def test_white_space_around_the_json_is_json() -> None:
    """RFC 8259 allows white space around the value."""
    assert isinstance(parse_event(b" \r\n\t" + login_event() + b"\n"), ParsedEvent)
