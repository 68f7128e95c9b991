"""Envelopes of pipes: one event is unwrapped, and every other content is rejected under its own reason."""

from __future__ import annotations

import json
import time

import pytest

from tests.kit.declared import IP
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.shapes import (
    LOADED,
    Shape,
    base_64,
    cloud_event,
    event_bridge,
    fields,
    firehose,
    s3_record,
    shapes,
    sns,
    sqs_record,
)
from tests.kit.parsed import parse_event
from vault_etl.event.json_body import MAX_BODY_BYTES
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

NO_EVENT = Rejection(Reason.FIELD_MISSING, "$.user_id")
EVENT = fields("u")


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.name)
def test_each_shape_is_what_the_table_says(shape: Shape) -> None:
    """The result is the event or one reason; its extra fields are those of the event, not of the envelope."""
    parsed = parse_event(shape.body.encode())
    if isinstance(parsed, Rejection):
        assert parsed.reason == shape.now
        return
    assert shape.now == LOADED
    assert (parsed.subject, parsed.personal[IP].expose()) == (shape.user_id, b"203.0.113.7")


@pytest.mark.parametrize("name", [*EVENT, "locale", "app_version", "create_date"])
@pytest.mark.parametrize(
    "envelope",
    [
        event_bridge(EVENT),
        cloud_event(data=EVENT),
        json.dumps({"Records": [sqs_record(json.dumps(EVENT))]}),
        json.dumps({"Records": [s3_record("a")]}),
        firehose(json.dumps(EVENT)),
        sns(json.dumps(EVENT)),
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}),
    ],
)
def test_an_object_with_a_field_of_an_event_is_not_an_envelope(envelope: str, name: str) -> None:
    """A body with a field of ours is read as an event, even with other names, and rejected as one."""
    body = json.dumps(json.loads(envelope) | {name: EVENT.get(name)})
    parsed = parse_event(body.encode())
    assert isinstance(parsed, Rejection)
    assert parsed.reason is Reason.FIELD_MISSING


def test_an_event_may_have_the_fields_of_every_envelope() -> None:
    """The fields of an envelope in an event are unknown fields like any other."""
    extra = json.loads(event_bridge({"user_id": "another"})) | {"Records": [{}], "data": {}}
    parsed = parse_event(login_event(**extra))
    assert isinstance(parsed, ParsedEvent)
    assert (parsed.subject, parsed.extra_fields) == ("user-1", tuple(sorted(extra)))


@pytest.mark.parametrize(
    ("envelope", "names"),
    [
        (event_bridge(EVENT), ("detail-type", "source", "detail")),
        (cloud_event(data=EVENT), ("specversion", "id", "source", "type", "data")),
        (json.dumps(sqs_record(json.dumps(EVENT))), ("messageId", "eventSource", "body")),
        (firehose(json.dumps(EVENT)), ("requestId", "timestamp", "records")),
    ],
)
def test_an_envelope_is_told_by_all_its_marks(envelope: str, names: tuple[str, ...]) -> None:
    """Without one of them, or with a number in its place, it is an object without our fields."""
    assert isinstance(parse_event(envelope.encode()), ParsedEvent)
    for name in names:
        without = {k: v for k, v in json.loads(envelope).items() if k != name}
        assert parse_event(json.dumps(without).encode()) == NO_EVENT
        if name != "timestamp":
            assert parse_event(json.dumps(without | {name: 1}).encode()) == NO_EVENT


@pytest.mark.parametrize(
    "body",
    [
        cloud_event(data=EVENT, data_base64=base_64("{}")),
        cloud_event(data=5),
        cloud_event(data=None),
        cloud_event(data_base64="%%%"),
        json.dumps({"Records": []}),
        json.dumps({"Records": [EVENT]}),
        json.dumps({"records": [{"data": base_64("{}")}]}),
        firehose(),
    ],
)
def test_a_near_envelope_is_not_an_envelope(body: str) -> None:
    """An object that is nearly an envelope is an object without the fields of an event."""
    assert parse_event(body.encode()) == NO_EVENT


def test_two_envelopes_in_one_object_hold_two_events() -> None:
    """The parser picks neither event: another reader might pick the other."""
    both = json.loads(event_bridge(EVENT)) | json.loads(cloud_event(data=fields("another")))
    assert parse_event(json.dumps(both).encode()) == Rejection(Reason.SEVERAL_EVENTS)


def test_the_content_of_an_envelope_follows_the_rules_of_a_body() -> None:
    """The content has the faults that it would have alone; its size is that of the envelope."""
    bad = json.dumps(EVENT | {"ip": "?"})
    for body in (base_64(bad), event_bridge(json.loads(bad)), firehose(bad), f"[{bad}]"):
        assert parse_event(body.encode()) == Rejection(Reason.NOT_AN_ADDRESS, "$.ip")
    twice = '{"user_id": "u", "user_id": "v"}'
    for body in (base_64(twice), f"[{twice}]", sns(twice)):
        assert parse_event(body.encode()) == Rejection(Reason.FIELD_TWICE)
    large = base_64(json.dumps(EVENT | {"x": "y" * MAX_BODY_BYTES}))
    assert parse_event(large.encode()) == Rejection(Reason.BODY_TOO_LARGE)
    deep = base_64('{"a":' * 65 + "1" + "}" * 65)
    assert parse_event(deep.encode()) == Rejection(Reason.NESTED_TOO_DEEP)


@pytest.mark.parametrize(
    "body",
    [
        "{}" * 130_000,
        "{} " * 87_000 + "x",
        "A" * MAX_BODY_BYTES,
        base_64("{}" * 98_000),
        "[" + "{}," * 80_000 + "{}]",
        "1" * MAX_BODY_BYTES,
        sns("{" * 200_000),
    ],
)
def test_no_envelope_takes_long(body: str) -> None:
    """A message that takes minutes to refuse stops a worker as surely as one that breaks it."""
    started = time.process_time()
    assert isinstance(parse_event(body.encode()), Rejection)
    assert time.process_time() - started < 2


def test_a_rejection_holds_nothing_of_an_envelope() -> None:
    """A rejection goes into plain columns and logs, so it holds a reason code and a path alone."""
    for shape in shapes():
        parsed = parse_event(shape.body.encode())
        if isinstance(parsed, Rejection):
            assert shape.user_id not in repr(parsed)
            assert "arn:" not in repr(parsed)
