"""Envelopes that pipes put around an event, and messages that they send in place of an event.

A value with a field of ours is never an envelope: our event may have any other field. The ids, times and
signatures of an envelope are not used, because every sender to the queue could choose them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.event.rejection import Reason, RejectedError

Inner = str | Mapping[str, object] | list[object]
"""The content of an envelope: the text of JSON, or a value that was parsed with the envelope."""

NAMES: Final = frozenset(
    {
        *("Type", "TopicArn", "Message", "Token"),
        *("id", "source", "detail-type", "detail"),
        *("specversion", "type", "data", "data_base64"),
        *("Records", "eventSource", "EventSource", "messageId", "body", "Sns", "kinesis", "s3"),
        *("s3BucketName", "s3Key"),
        *("requestId", "timestamp", "records", "invocationId", "deliveryStreamArn"),
        *("Service", "Event"),
    }
)
"""The names that the envelopes below are known by. An event may have values under these names too."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_STANDARD: Final = str.maketrans("-_", "+/")
_WHITE_SPACE: Final = " \t\r\n"
_S3: Final = "aws:s3"


def inside(value: object) -> Inner | None:
    """Return the content of an envelope, one layer down; None if the value is not an envelope.

    Text is UTF-8 when encoded with `surrogatepass`. It is never longer than the envelope: no escape of JSON
    and no base64 is shorter than its content. Raises RejectedError for an envelope with several events or
    without one.
    """
    if isinstance(value, str):
        return value if _begins_json(value) else text_of_base64(value)
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, Mapping):
        found = [inner for open_ in _ENVELOPES if (inner := open_(value)) is not None]
        if len(found) > 1:
            raise RejectedError(Reason.SEVERAL_EVENTS)
        return found[0] if found else None
    return None


def text_of_base64(body: str) -> str | None:
    """Decode the base64 (either alphabet) of a JSON object or array into its text; None for other text."""
    text = _decoded(body)
    return text if text is not None and _begins_json(text) else None


def _begins_json(text: str) -> bool:
    return text.lstrip(_WHITE_SPACE)[:1] in ("{", "[")


def _decoded(encoded: str) -> str | None:
    """Decode base64, with or without line breaks and padding. None if the result is not UTF-8."""
    joined = "".join(encoded.split())
    if not _BASE64.fullmatch(joined):
        return None
    digits = joined.rstrip("=").translate(_STANDARD)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4)).decode()
    except ValueError:
        return None


def _of_list(values: list[object]) -> Inner | None:
    """Return the element of a list of one: EventBridge Pipes, and a batch of CloudEvents."""
    match values:
        case [str(kind), {"s3BucketName": str(), "s3Key": str()}] if kind.endswith("S3Pointer"):
            raise RejectedError(Reason.ENVELOPE_S3_POINTER)
        case [dict(one)]:
            return one
    if len(values) > 1 and all(isinstance(value, dict) for value in values):
        raise RejectedError(Reason.SEVERAL_EVENTS)
    return None


def _of_sns(fields: Mapping[str, object]) -> Inner | None:
    match fields:
        case {"Type": "Notification", "TopicArn": str(), "Message": str(message)}:
            return message
        case {
            "Type": "SubscriptionConfirmation" | "UnsubscribeConfirmation",
            "TopicArn": str(),
            "Token": str(),
        }:
            raise RejectedError(Reason.ENVELOPE_SNS_CONTROL)
    return None


def _of_event_bridge(fields: Mapping[str, object]) -> Inner | None:
    match fields:
        case {"detail-type": str(), "source": "aws.s3", "detail": {"bucket": dict()}}:
            raise RejectedError(Reason.ENVELOPE_S3_EVENT)
        case {"detail-type": str(), "source": str(), "detail": dict(detail)}:
            return detail
    return None


def _of_cloud_events(fields: Mapping[str, object]) -> Inner | None:
    match fields:
        case {"specversion": str(), "id": str(), "source": str(), "type": str()}:
            data, encoded = fields.get("data"), fields.get("data_base64")
            if isinstance(data, str | dict | list) and encoded is None:
                return data
            return _decoded(encoded) if isinstance(encoded, str) and data is None else None
    return None


def _of_records(fields: Mapping[str, object]) -> Inner | None:
    """Open the event of a Lambda function: from S3, SQS, SNS or Kinesis."""
    records = fields.get("Records")
    if not isinstance(records, list) or not records or not all(map(_source, records)):
        return None
    if all(_source(record) == _S3 for record in records):
        raise RejectedError(Reason.ENVELOPE_S3_EVENT)
    return _of_list(records)


def _source(record: object) -> str | None:
    match record:
        case {"eventSource": str(source)} | {"EventSource": str(source)}:
            return source
    return None


def _of_record(fields: Mapping[str, object]) -> Inner | None:
    """Open one record of the event of a Lambda function, or of EventBridge Pipes."""
    match fields:
        case {"eventSource": "aws:s3", "s3": dict()}:
            raise RejectedError(Reason.ENVELOPE_S3_EVENT)
        case {"eventSource": "aws:sqs", "messageId": str(), "body": str(body)}:
            return body
        case {"EventSource": "aws:sns", "Sns": dict(notification)}:
            return notification
        case {"eventSource": "aws:kinesis", "kinesis": {"data": str(data)}}:
            return _decoded(data)
        case {"eventSource": "aws:kinesis", "data": str(data)}:
            return _decoded(data)
    return None


def _of_firehose(fields: Mapping[str, object]) -> Inner | None:
    """Open the request that Firehose sends to an HTTP endpoint, or to a function that transforms."""
    match fields:
        case {"requestId": str(), "timestamp": _, "records": list(records)} | {
            "invocationId": str(),
            "deliveryStreamArn": str(),
            "records": list(records),
        }:
            match _of_list(records):
                case {"data": str(data)}:
                    return _decoded(data)
    return None


def _of_s3_test(fields: Mapping[str, object]) -> Inner | None:
    """Reject the message that S3 sends when notifications of a bucket are set up."""
    match fields:
        case {"Service": "Amazon S3", "Event": "s3:TestEvent"}:
            raise RejectedError(Reason.ENVELOPE_S3_EVENT)
    return None


_ENVELOPES: Final[tuple[Callable[[Mapping[str, object]], Inner | None], ...]] = (
    _of_sns,
    _of_event_bridge,
    _of_cloud_events,
    _of_records,
    _of_record,
    _of_firehose,
    _of_s3_test,
)
