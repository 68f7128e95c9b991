"""Bodies of messages. The addresses are from ranges reserved for documentation (RFC 5737, RFC 3849)."""

from __future__ import annotations

import json

DEFAULTS: dict[str, object] = {
    "user_id": "user-1",
    "device_type": "android",
    "ip": "198.51.100.7",
    "device_id": "593-47-5928",
    "locale": "RU",
    "app_version": "2.3.0",
}


def login_event(**changes: object) -> bytes:
    """The JSON of a good login event, with these fields changed or added."""
    return json.dumps({**DEFAULTS, **changes}).encode()


def login_event_without(*names: str) -> bytes:
    """The JSON of a good login event, without these fields."""
    return json.dumps({k: v for k, v in DEFAULTS.items() if k not in names}).encode()


def sns_envelope(message: str) -> bytes:
    """Wrap a message as SNS delivers it to a queue without raw delivery, as its documentation shows."""
    envelope = {
        "Type": "Notification",
        "MessageId": "63a3f6b6-d533-4a47-aef9-fcf5cf758c76",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
        "Subject": "Testing publish to subscribed queues",
        "Message": message,
        "Timestamp": "2012-03-29T05:12:16.901Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEnTrFPa3",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    }
    return json.dumps(envelope).encode()
