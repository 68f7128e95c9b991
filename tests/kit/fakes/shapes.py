"""One login event in everything that pipes put around it, and what they send in place of one.

Each shape is a row of a table: its name, the body, what became of it in the first version that had a
test (`before`), and what becomes of it now. `LOADED` is a record; all else is a reason code.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from tests.kit.fakes.login_events import sns_envelope

LOADED: Final = "loaded"


@dataclass(frozen=True, slots=True)
class Shape:
    """A body that a pipe sends. `user_id` is the user of the event in the body."""

    name: str
    user_id: str
    body: str
    before: str
    now: str


def fields(user_id: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The fields of the event."""
    event = {"user_id": user_id, "device_type": "ios", "ip": "203.0.113.7", "device_id": "d-1"}
    return event | changes


def sns(message: str) -> str:
    """SNS without raw delivery."""
    return sns_envelope(message).decode()


def event_bridge(detail: dict[str, Any], source: str = "app.logins") -> str:
    """A rule of EventBridge whose target is a queue."""
    envelope = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Login",
    }
    envelope |= {"source": source, "account": "111122223333", "time": "2026-01-31T00:00:00Z"}
    return json.dumps(envelope | {"region": "us-east-1", "resources": [], "detail": detail})


def cloud_event(**data: Any) -> str:  # noqa: ANN401 - any JSON
    """CloudEvents 1.0 in its structured mode."""
    return json.dumps({"specversion": "1.0", "id": "1", "source": "/app", "type": "login", **data})


def base_64(text: str) -> str:
    """RFC 4648, section 4."""
    return base64.b64encode(text.encode()).decode()


def sqs_record(body: str) -> dict[str, Any]:
    """A message of SQS, as EventBridge Pipes and Lambda hand it on."""
    names = {"messageId": "m-1", "receiptHandle": "r-1", "attributes": {}, "messageAttributes": {}}
    return names | {"body": body, "eventSource": "aws:sqs", "awsRegion": "us-east-1"}


def s3_record(key: str) -> dict[str, Any]:
    """One object, in a notification of S3."""
    s3 = {"s3SchemaVersion": "1.0", "bucket": {"name": "logins"}, "object": {"key": key}}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": s3,
    }


def s3_pointer(kind: str) -> str:
    """Return the pointer that the extended client of SQS sends for a body that it has put into S3."""
    return json.dumps([kind, {"s3BucketName": "large", "s3Key": "0b5a7d5e"}])


def firehose(*texts: str) -> str:
    """Return the request that Firehose posts to an HTTP endpoint."""
    records = [{"data": base_64(text)} for text in texts]
    return json.dumps({"requestId": "r", "timestamp": 1769817600000, "records": records})


def shapes() -> list[Shape]:
    """The table."""
    rows: list[Shape] = []

    def row(name: str, before: str, now: str, make: Any) -> None:  # noqa: ANN401 - a lambda
        user_id = f"shape-{len(rows)}"
        event = fields(user_id)
        rows.append(Shape(name, user_id, make(event, json.dumps(event)), before, now))

    _one_event(row)
    _several_or_elsewhere(row)
    _values(row)
    return rows


def _one_event(row: Any) -> None:  # noqa: ANN401 - as above
    missing, no_object, no_json = "field_missing", "not_an_object", "not_json"
    row("bare", LOADED, LOADED, lambda _, t: t)
    envelopes = {"detail": {}, "detail-type": "x", "source": "y", "data": {}, "Records": [{}, {}]}
    row("bare, beside fields of envelopes", LOADED, LOADED, lambda e, _: json.dumps(envelopes | e))
    row("SNS", LOADED, LOADED, lambda _, t: sns(t))
    row("SNS in SNS", missing, LOADED, lambda _, t: sns(sns(t)))
    row("EventBridge", missing, LOADED, lambda e, _: event_bridge(e))
    row("EventBridge in SNS", missing, LOADED, lambda e, _: sns(event_bridge(e)))
    row("CloudEvents", missing, LOADED, lambda e, _: cloud_event(data=e))
    row("CloudEvents, text", missing, LOADED, lambda _, t: cloud_event(data=t))
    row("CloudEvents, base64", missing, LOADED, lambda _, t: cloud_event(data_base64=base_64(t)))
    row("CloudEvents, a batch of one", no_object, LOADED, lambda e, _: f"[{cloud_event(data=e)}]")
    row("a list of one", no_object, LOADED, lambda _, t: f"[{t}]")
    row("Pipes", no_object, LOADED, lambda _, t: json.dumps([sqs_record(t)]))
    row("Lambda, SQS", missing, LOADED, lambda _, t: json.dumps({"Records": [sqs_record(t)]}))
    row(
        "Lambda, SNS",
        missing,
        LOADED,
        lambda _, t: json.dumps(
            {"Records": [{"EventSource": "aws:sns", "Sns": json.loads(sns(t))}]}
        ),
    )
    row(
        "Lambda, Kinesis",
        missing,
        LOADED,
        lambda _, t: json.dumps(
            {"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": base_64(t)}}]}
        ),
    )
    row(
        "Pipes, Kinesis",
        no_object,
        LOADED,
        lambda _, t: json.dumps([{"eventSource": "aws:kinesis", "data": base_64(t)}]),
    )
    row("Firehose", missing, LOADED, lambda _, t: firehose(t))
    row(
        "Firehose, transform",
        missing,
        LOADED,
        lambda _, t: json.dumps(
            {
                "invocationId": "i",
                "deliveryStreamArn": "arn:aws:firehose:us-east-1:111122223333:deliverystream/x",
                "records": [{"recordId": "1", "data": base_64(t)}],
            }
        ),
    )
    row("base64", no_json, LOADED, lambda _, t: base_64(t))
    row("base64, in lines", no_json, LOADED, lambda _, t: base64.encodebytes(t.encode()).decode())
    row(
        "base64url",
        no_json,
        LOADED,
        lambda _, t: (
            base64.urlsafe_b64encode(f'{t[:-1]}, "x": "??>>"}}'.encode()).decode().rstrip("=")
        ),
    )
    row("JSON in a JSON string", no_object, LOADED, lambda _, t: json.dumps(t))
    row("base64 in a JSON string", no_object, LOADED, lambda _, t: json.dumps(base_64(t)))
    row(
        "Pipes, SNS, EventBridge: four layers",
        no_object,
        LOADED,
        lambda e, _: json.dumps([sqs_record(sns(event_bridge(e)))]),
    )


def _several_or_elsewhere(row: Any) -> None:  # noqa: ANN401 - as above
    missing, several, s3 = "field_missing", "several_events", "envelope_s3_event"
    row("a list of two", "not_an_object", several, lambda _, t: f"[{t}, {t}]")
    row("JSON lines", "not_json", several, lambda _, t: f"{t}\n{t}\n")
    row("objects without a newline", "not_json", several, lambda _, t: t + t)
    row(
        "Pipes, two",
        "not_an_object",
        several,
        lambda _, t: json.dumps([sqs_record(t), sqs_record(t)]),
    )
    row(
        "Lambda, two",
        missing,
        several,
        lambda _, t: json.dumps({"Records": [sqs_record(t), sqs_record(t)]}),
    )
    row("Firehose, two", missing, several, lambda _, t: firehose(t, t))
    row("Firehose, one of two lines", missing, several, lambda _, t: firehose(f"{t}\n{t}\n"))
    row("S3", missing, s3, lambda *_: json.dumps({"Records": [s3_record("a.gz")]}))
    row(
        "S3, two objects",
        missing,
        s3,
        lambda *_: json.dumps({"Records": [s3_record("a"), s3_record("b")]}),
    )
    row("S3 in SNS", missing, s3, lambda *_: sns(json.dumps({"Records": [s3_record("a.gz")]})))
    row("S3, Pipes", "not_an_object", s3, lambda *_: json.dumps([s3_record("a.gz")]))
    detail = {"version": "0", "bucket": {"name": "logins"}, "object": {"key": "a.gz"}}
    row("S3 by EventBridge", missing, s3, lambda *_: event_bridge(detail, "aws.s3"))
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logins", "RequestId": "1"}
    row("S3, its test event", missing, s3, lambda *_: json.dumps(test))
    new, old = (
        "software.amazon.payloadoffloading.PayloadS3Pointer",
        ("com.amazon.sqs.javamessaging.MessageS3Pointer"),
    )
    pointer = "envelope_s3_pointer"
    row("extended client", "not_an_object", pointer, lambda *_: s3_pointer(new))
    row("extended client, old", "not_an_object", pointer, lambda *_: s3_pointer(old))
    row("extended client in SNS", "not_an_object", pointer, lambda *_: sns(s3_pointer(new)))
    confirm = {"Type": "SubscriptionConfirmation", "TopicArn": "arn:x", "Token": "2336412f"}
    row("SNS, a confirmation", missing, "envelope_sns_control", lambda *_: json.dumps(confirm))
    row(
        "five layers",
        missing,
        "nested_too_deep",
        lambda e, _: sns(sns(sns(sns(event_bridge(e))))),
    )
    row(
        "EventBridge, another kind", missing, missing, lambda *_: event_bridge({"state": "running"})
    )
    row("an empty list", "not_an_object", "not_an_object", lambda *_: "[]")
    row("a list of numbers", "not_an_object", "not_an_object", lambda *_: "[1, 2]")
    row("text", "not_an_object", "not_an_object", lambda *_: '"text"')
    row("base64 of no JSON", "not_json", "not_json", lambda *_: base_64("no event at all"))
    row("an event and noise", "not_json", "not_json", lambda _, t: f"{t} x")


def _values(row: Any) -> None:  # noqa: ANN401 - as above
    no_text, date = "field_not_text", "not_a_date"

    def changed(name: str, literal: str) -> Any:  # noqa: ANN401 - as above
        return lambda e, _: json.dumps(e | {name: "?"}).replace('"?"', literal)

    row("a version that is a fraction", no_text, LOADED, changed("app_version", "1.10"))
    row("a device that is a number", no_text, LOADED, changed("device_id", "4711"))
    row("a device that is a fraction", no_text, no_text, changed("device_id", "4711.0"))
    row("a device with an exponent", no_text, no_text, changed("device_id", "4.711e3"))
    row("an address that is a number", no_text, no_text, changed("ip", "3405803783"))
    row("a locale that is a boolean", no_text, no_text, changed("locale", "true"))
    row("a moment", date, LOADED, changed("create_date", '"2026-01-31T00:30:00+01:00"'))
    row("a time", date, "time_without_zone", changed("create_date", '"2026-01-31T00:30:00"'))
    row("no day", date, date, changed("create_date", '"2026-02-30"'))
