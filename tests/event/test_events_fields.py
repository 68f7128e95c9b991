"""Fields of a login event: the values that each may hold, and the reason and path of a rejection."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.login_events import login_event, login_event_without
from tests.kit.login_records import column
from tests.kit.parsed import parse_event
from vault_etl.base.pii import Pii
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

REQUIRED = ("user_id", "device_type", "ip", "device_id")
OPTIONAL = ("locale", "app_version", "create_date")
LIMITS = {"user_id": 128, "device_type": 32, "device_id": 256, "locale": 32, "app_version": 32}
NOT_TEXT: list[object] = [True, False, [], ["a"], {}, {"a": "b"}]


def accepted(body: bytes) -> ParsedEvent:
    """The event that this body is."""
    event = parse_event(body)
    assert isinstance(event, ParsedEvent), event
    return event


def test_a_login_event_is_read_field_by_field() -> None:
    """Text is as it came, personal values are wrapped, and a date is a date."""
    event = accepted(login_event(create_date="2026-01-31"))
    assert (event.subject, column(event, "device_type")) == ("user-1", "android")
    assert (column(event, "locale"), column(event, "app_version")) == ("RU", "2.3.0")
    assert event.day == dt.date(2026, 1, 31)
    assert isinstance(event.personal[IP], Pii)
    assert isinstance(event.personal[DEVICE_ID], Pii)
    assert event.personal[IP].expose() == b"198.51.100.7"
    assert event.personal[DEVICE_ID].expose() == b"593-47-5928"


def test_the_original_is_kept_byte_for_byte() -> None:
    """The text that came is sealed, not its canonical form."""
    event = accepted(login_event(ip="  ::FFFF:198.51.100.7 ", device_id=" Jose\u0301\t"))
    assert event.personal[IP].expose() == b"  ::FFFF:198.51.100.7 "
    assert event.personal[DEVICE_ID].expose() == " Jose\u0301\t".encode()


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_field_is_named(name: str) -> None:
    """The path of the rejection names the missing field."""
    assert parse_event(login_event_without(name)) == Rejection(Reason.FIELD_MISSING, f"$.{name}")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_field_that_is_null_is_rejected(name: str) -> None:
    """A null has a reason of its own, which is not that of a missing field."""
    assert parse_event(login_event(**{name: None})) == Rejection(Reason.FIELD_NULL, f"$.{name}")


@pytest.mark.parametrize("value", NOT_TEXT)
@pytest.mark.parametrize("name", REQUIRED + OPTIONAL)
def test_a_field_of_another_type_is_rejected(name: str, value: object) -> None:
    """A value of another type is refused, and never turned into text."""
    rejection = parse_event(login_event(**{name: value}))
    assert rejection == Rejection(Reason.FIELD_NOT_TEXT, f"$.{name}")


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0\u2003", "\u200b", "\ufeff \u3164\u2800"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_field_that_is_empty_or_blank(name: str, text: str) -> None:
    """Blanks must not become one giant duplicate."""
    assert parse_event(login_event(**{name: text})) == Rejection(Reason.FIELD_EMPTY, f"$.{name}")


@pytest.mark.parametrize("character", ["a", "é", "😀", "e\u0301"])
@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_limits_count_code_points(name: str, limit: int, character: str) -> None:
    """A value at the limit is stored, one code point more is not, however many bytes the value has."""
    at_limit = (character * limit)[:limit]
    accepted(login_event(**{name: at_limit}))
    rejection = parse_event(login_event(**{name: at_limit + "a"}))
    assert rejection == Rejection(Reason.FIELD_TOO_LONG, f"$.{name}")


def test_limits_count_before_canonicalisation() -> None:
    """White space that would be stripped counts, as do marks that would be composed."""
    accepted(login_event(device_id=" " * 255 + "d"))
    rejection = parse_event(login_event(device_id=" " * 256 + "d"))
    assert rejection == Rejection(Reason.FIELD_TOO_LONG, "$.device_id")
    rejection = parse_event(login_event(device_id="e\u0301" * 128 + "e"))
    assert rejection == Rejection(Reason.FIELD_TOO_LONG, "$.device_id")


@pytest.mark.parametrize("bad", ["\x00", "\ud800", chr(0xDFFF), "\udc00\ud800"])
@pytest.mark.parametrize("name", REQUIRED + OPTIONAL)
def test_text_that_postgres_cannot_store_is_rejected(name: str, bad: str) -> None:
    """A NUL or a lone surrogate would abort a whole COPY, so the parser rejects it."""
    rejection = parse_event(login_event(**{name: f"a{bad}b"}))
    assert rejection == Rejection(Reason.FIELD_NOT_STORABLE, f"$.{name}")


def test_a_pair_of_surrogates_is_one_character() -> None:
    """JSON escapes write characters beyond U+FFFF so."""
    assert b"\\ud83d\\ude00" in login_event(user_id="😀")
    assert accepted(login_event(user_id="😀")).subject == "😀"


@pytest.mark.parametrize(
    "text",
    ["x\x01", "\x1b[31m", "\u202e!", "\ufeffx", "'; DROP TABLE user_logins; --", "\\N", "\\."],
)
def test_odd_text_is_text(text: str) -> None:
    """The parser neither refuses nor changes text that Postgres can store."""
    assert accepted(login_event(user_id=text, locale=text)).subject == text


@pytest.mark.parametrize(
    "text",
    [
        "198.051.100.7",
        "0306.0063.0144.0007",
        "0xC6336407",
        "3325256711",
        "198.51.100.7:443",
        "[2001:db8::1]",
        "198.51.100.7, 203.0.113.9",
        "fe80::1%eth0",
        "198.51.100.7/32",
        "\uff11\uff19\uff18.51.100.7",
        "198.51.100.256",
        "\t198.51.100.7",
        "198.51.100.7\n",
        "localhost",
        "unknown",
        " " * 53 + "198.51.100.7",
    ],
)
def test_text_that_is_not_an_address_is_rejected(text: str) -> None:
    """Rejected is each form that design.md lists, and an address behind more than 64 code points."""
    assert parse_event(login_event(ip=text)) == Rejection(Reason.NOT_AN_ADDRESS, "$.ip")


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "2001:db8::1", " " * 52 + "198.51.100.7"]
)
def test_every_plain_address_is_accepted(text: str) -> None:
    """Private, loopback and link-local addresses are accepted too, with spaces up to 64 code points."""
    assert accepted(login_event(ip=text)).personal[IP].expose() == text.encode()


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_field_may_be_missing_or_null(name: str) -> None:
    """The column stays NULL; a null field is not an extra field."""
    for body in (login_event_without(name), login_event(**{name: None})):
        event = accepted(body)
        assert name not in event.plain
        assert event.extra_fields == ()


@pytest.mark.parametrize("text", ["2.3.0", "0.96", "1.10", "", "  "])
def test_versions_and_locales_are_text(text: str) -> None:
    """Versions and locales are kept as they came: 1.10 is not 1.1."""
    event = accepted(login_event(app_version=text, locale=text))
    assert (column(event, "app_version"), column(event, "locale")) == (text, text)


def test_the_first_fault_in_the_order_of_the_format_is_told() -> None:
    """A message has one reason, and always the same reason."""
    body = login_event(create_date="never", ip=None, user_id=True, locale=[])
    assert parse_event(body) == Rejection(Reason.FIELD_NOT_TEXT, "$.user_id")
