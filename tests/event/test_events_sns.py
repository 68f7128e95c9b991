"""Events in an envelope of SNS: unwrapped once, and under all the rules of an event."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.login_events import DEFAULTS, login_event, login_event_without, sns_envelope
from tests.kit.parsed import parse_event
from vault_etl.event.events import MAX_ENVELOPES
from vault_etl.event.json_body import MAX_BODY_BYTES, MAX_NESTING
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

NO_EVENT = Rejection(Reason.FIELD_MISSING, "$.user_id")


def shown(parsed: ParsedEvent | Rejection) -> object:
    """The comparable content of a result: personal values refuse comparison, and are bytes here."""
    if isinstance(parsed, Rejection):
        return parsed
    values = {name: getattr(parsed, name) for name in ParsedEvent._fields}
    shown_values = {name: value.expose() for name, value in parsed.personal.items()}
    forms = {name: form.expose() for name, form in parsed.forms.items()}
    return values | {"personal": shown_values, "forms": forms}


def test_an_event_in_an_envelope_is_the_event() -> None:
    """All fields agree; extra fields of the event are counted, and those of the envelope are not."""
    event = login_event(create_date="2026-01-31", extra=1)
    parsed = parse_event(sns_envelope(event.decode()))
    assert isinstance(parsed, ParsedEvent)
    assert shown(parsed) == shown(parse_event(event))
    assert parsed.extra_fields == ("extra",)


@pytest.mark.parametrize(
    ("inner", "reason", "path"),
    [
        ("not json", Reason.NOT_JSON, "$"),
        ("", Reason.NOT_JSON, "$"),
        ("[]", Reason.NOT_AN_OBJECT, "$"),
        ("\ud800", Reason.NOT_UTF8, "$"),
        ('{"a": 1, "a": 2}', Reason.FIELD_TWICE, "$"),
        ("[" * (MAX_NESTING + 1), Reason.NESTED_TOO_DEEP, "$"),
        (login_event(ip="999.1.1.1").decode(), Reason.NOT_AN_ADDRESS, "$.ip"),
        (login_event(device_id="\x00").decode(), Reason.FIELD_NOT_STORABLE, "$.device_id"),
        (login_event(create_date="today").decode(), Reason.NOT_A_DATE, "$.create_date"),
        (login_event_without("ip").decode(), Reason.FIELD_MISSING, "$.ip"),
    ],
)
def test_the_content_of_an_envelope_is_under_all_the_rules(
    inner: str, reason: Reason, path: str
) -> None:
    """The paths are those of the event, as if there were no envelope."""
    assert parse_event(sns_envelope(inner)) == Rejection(reason, path)


def test_an_envelope_is_under_the_rules_of_a_body() -> None:
    """An envelope has each name once, and is nested no deeper than a body."""
    twice = sns_envelope(login_event().decode())[:-1] + b', "Type": "Notification"}'
    assert parse_event(twice) == Rejection(Reason.FIELD_TWICE)
    deep = sns_envelope("{}")[:-1] + b', "x": ' + b"[" * 64 + b"]" * 64 + b"}"
    assert parse_event(deep) == Rejection(Reason.NESTED_TOO_DEEP)


def test_the_limit_of_a_body_is_that_of_the_envelope() -> None:
    """Each quote in the event takes two bytes in the envelope, which is the body that was received."""
    full = sns_envelope(login_event(extra="").decode())
    room = MAX_BODY_BYTES - len(full)
    assert isinstance(
        parse_event(sns_envelope(login_event(extra="x" * room).decode())), ParsedEvent
    )
    too_large = sns_envelope(login_event(extra="x" * (room + 1)).decode())
    assert parse_event(too_large) == Rejection(Reason.BODY_TOO_LARGE)


@given(st.text(st.characters(exclude_categories=())))
def test_the_content_of_an_envelope_is_never_longer_than_the_envelope(text: str) -> None:
    """The limit of a body holds for the content too, however it is escaped."""
    for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert len(text.encode("utf-8", "surrogatepass")) <= len(
            escaped.encode("utf-8", "surrogatepass")
        )


def test_envelopes_are_opened_to_a_fixed_depth() -> None:
    """A sender does not choose how often the parser parses."""
    body = login_event()
    for _ in range(MAX_ENVELOPES):
        body = sns_envelope(body.decode())
        assert isinstance(parse_event(body), ParsedEvent)
    assert parse_event(sns_envelope(body.decode())) == Rejection(Reason.NESTED_TOO_DEEP)


@pytest.mark.parametrize("name", [*DEFAULTS, "create_date"])
def test_an_object_with_a_field_of_an_event_is_no_envelope(name: str) -> None:
    """An object with a field of an event is read as an event, and its other fields are extra fields."""
    body = json.loads(sns_envelope(login_event().decode())) | {name: DEFAULTS.get(name)}
    parsed = parse_event(json.dumps(body).encode())
    assert isinstance(parsed, Rejection)
    assert parsed.reason is Reason.FIELD_MISSING


def test_an_event_may_have_the_fields_of_an_envelope() -> None:
    """The fields of an envelope are dropped and counted like any other."""
    envelope = json.loads(sns_envelope(login_event(user_id="another").decode()))
    parsed = parse_event(login_event(**envelope))
    assert isinstance(parsed, ParsedEvent)
    assert (parsed.subject, parsed.extra_fields) == ("user-1", tuple(sorted(envelope)))


@pytest.mark.parametrize(
    "changes",
    [
        {"Type": "SubscriptionConfirmation"},
        {"Type": "notification"},
        {"Type": None},
        {"Message": None},
        {"Message": json.loads(login_event())},
        {"TopicArn": None},
        {"TopicArn": 1},
    ],
)
def test_an_object_that_is_nearly_an_envelope_is_no_envelope(changes: dict[str, object]) -> None:
    """An object that is nearly an envelope is an object without the fields of an event."""
    body = json.loads(sns_envelope(login_event().decode())) | changes
    assert parse_event(json.dumps(body).encode()) == NO_EVENT


def test_the_fields_of_an_envelope_are_all_needed() -> None:
    """An envelope needs Type, Message and TopicArn, and no other field."""
    for name in ("Type", "Message", "TopicArn"):
        body = json.loads(sns_envelope(login_event().decode()))
        del body[name]
        assert parse_event(json.dumps(body).encode()) == NO_EVENT
    least = {"Type": "Notification", "TopicArn": "", "Message": login_event().decode()}
    assert isinstance(parse_event(json.dumps(least).encode()), ParsedEvent)


inner_texts = st.text(st.characters(), max_size=200) | st.builds(
    lambda changes: json.dumps({**DEFAULTS, **changes}),
    st.dictionaries(
        st.sampled_from([*DEFAULTS, "create_date", "x"]), st.text(max_size=9) | st.none()
    ),
)


@given(inner_texts)
def test_an_envelope_changes_nothing(text: str) -> None:
    """The content is the same event, or has the same fault, as without the envelope."""
    assert shown(parse_event(sns_envelope(text))) == shown(parse_event(text.encode()))


def test_a_rejection_holds_nothing_of_the_envelope() -> None:
    """A rejection goes into plain columns and logs, so it holds a reason code and a path alone."""
    rejection = parse_event(sns_envelope("leak-4711"))
    assert "leak" not in repr(rejection)
    assert "arn:" not in repr(rejection)
