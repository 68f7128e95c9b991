"""Cases of message bodies: the event of each, or the reason why the body is not an event."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

EVENT: Final = {"user_id": "u-1", "device_type": "ios", "ip": "203.0.113.7", "device_id": "d-1"}
TEXT: Final = json.dumps(EVENT)
ENCODED: Final = base64.b64encode(TEXT.encode()).decode()
FIELDS: Final = (*EVENT, "locale", "app_version", "create_date", "event_time")
DAY, NIGHT = "2026-01-31", "2026-01-30"

SNS: Final = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:111122223333:t"}
BRIDGE: Final = {"version": "0", "detail-type": "Login", "source": "app", "region": "us-east-1"}
CLOUD: Final = {"specversion": "1.0", "id": "1", "source": "/app", "type": "login"}
SQS: Final = {"messageId": "m-1", "eventSource": "aws:sqs"}
FIREHOSE: Final = {"requestId": "r-1", "timestamp": 1769817600000}
S3: Final = {"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}


def _literal(name: str, literal: str) -> str:
    return json.dumps(EVENT | {name: "?"}).replace('"?"', literal)


def _sns(text: str) -> str:
    return json.dumps(SNS | {"Message": text})


BRIDGED: Final = json.dumps(BRIDGE | {"detail": EVENT})

EVENTS: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    (TEXT, "the least event", {}),
    (json.dumps(EVENT | {"detail": {}, "Records": []}), "unknown fields are dropped", {}),
    (_literal("user_id", "4711"), "a whole number is its spelling", {"user_id": "4711"}),
    (_literal("device_id", "-0"), "whatever the spelling", {"device_id": "-0"}),
    (_literal("device_id", "9" * 40), "of any size", {"device_id": "9" * 40}),
    (_literal("app_version", "1.10"), "a version keeps its zeros", {"app_version": "1.10"}),
    (_literal("create_date", f'"{DAY}"'), "a day", {"create_date": DAY}),
    (
        _literal("create_date", f'"{DAY}T00:30:00.1234567+01:00"'),
        "a moment: its day in UTC, digits behind the microsecond cut off",
        {"create_date": NIGHT, "event_time": f"{NIGHT}T23:30:00.123456Z"},
    ),
    (
        _literal("create_date", f'"{DAY} 10:20-0030"'),
        "the shortest form of a moment",
        {"create_date": DAY, "event_time": f"{DAY}T10:50:00.000000Z"},
    ),
    (_sns(TEXT), "SNS", {}),
    (_sns(_sns(TEXT)), "SNS in SNS", {}),
    (BRIDGED, "EventBridge", {}),
    (_sns(BRIDGED), "EventBridge in SNS", {}),
    (json.dumps(CLOUD | {"data": EVENT}), "CloudEvents", {}),
    (json.dumps(CLOUD | {"data": TEXT}), "CloudEvents, its data as text", {}),
    (json.dumps(CLOUD | {"data_base64": ENCODED}), "CloudEvents, its data as base64", {}),
    (f"[{TEXT}]", "a list of one", {}),
    (json.dumps([SQS | {"body": TEXT}]), "EventBridge Pipes", {}),
    (json.dumps({"Records": [SQS | {"body": TEXT}]}), "an event of a Lambda function", {}),
    (json.dumps(FIREHOSE | {"records": [{"data": ENCODED}]}), "Firehose", {}),
    (ENCODED, "base64", {}),
    (json.dumps(TEXT), "JSON in a string of JSON", {}),
    (json.dumps([SQS | {"body": _sns(BRIDGED)}]), "four layers", {}),
)

REJECTED: Final = (
    (_literal("device_id", "4711.0"), "field_not_text", "$.device_id", "a fraction"),
    (_literal("app_version", "1e1"), "field_not_text", "$.app_version", "an exponent"),
    (_literal("ip", "3405803783"), "field_not_text", "$.ip", "no number is an address"),
    (_literal("create_date", "20260131"), "field_not_text", "$.create_date", "nor a date"),
    (
        _literal("create_date", f'"{DAY}T00:30:00"'),
        "time_without_zone",
        "$.create_date",
        "a time without its zone",
    ),
    (_literal("create_date", '"2016-12-31T23:59:60Z"'), "not_a_date", "$.create_date", "second 60"),
    (f"[{TEXT}, {TEXT}]", "several_events", "$", "a list of two"),
    (f"{TEXT}\n{TEXT}\n", "several_events", "$", "JSON lines"),
    (json.dumps({"Records": [S3]}), "envelope_s3_event", "$", "a notification of S3"),
    (
        '["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "b", "s3Key": "k"}]',
        "envelope_s3_pointer",
        "$",
        "the extended client of SQS",
    ),
    (
        json.dumps(SNS | {"Type": "SubscriptionConfirmation", "Token": "t"}),
        "envelope_sns_control",
        "$",
        "SNS about a subscription",
    ),
    (_sns(_sns(_sns(_sns(BRIDGED)))), "nested_too_deep", "$", "five layers"),
    (
        json.dumps(BRIDGE | {"detail": EVENT, "ip": "203.0.113.7"}),
        "field_missing",
        "$.user_id",
        "with a field of an event it is no envelope",
    ),
    ("[]", "not_an_object", "$", "an empty list"),
)


def message_cases() -> list[dict[str, Any]]:
    """Cases of events, and of other bodies."""
    events: list[dict[str, Any]] = [
        {"expect": "event", "comment": comment, "body_text": body}
        | {f"{name}_text": {**EVENT, **changes}.get(name) for name in FIELDS}
        for body, comment, changes in EVENTS
    ]
    rejected = [
        {"expect": "rejected", "comment": comment, "body_text": body}
        | {"reason_code_text": reason, "path_text": path}
        for body, reason, path, comment in REJECTED
    ]
    return events + rejected
