"""Calls of the Lambda function: events, the context of a call, and the parts of an answer."""

from __future__ import annotations

import json
import traceback
from typing import Any

from tests.kit.vault import Vault

ADDRESS = "198.51.100.7"


DOCUMENTED = json.loads("""
{
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185"
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2"
        }
    ]
}
""")
"""An event as AWS's documentation shows it."""


class Context:
    """The context of a call of a function that may run for a minute."""

    aws_request_id = "8c5f8d9a-0000-4000-8000-000000000000"

    def __init__(self, left_ms: int = 60_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """The remaining time of the call, in milliseconds."""
        return self._left_ms


def delivered(vault: Vault, bodies: list[str]) -> dict[str, Any]:
    """The event that Lambda makes of messages that it has received."""
    vault.send(bodies)
    sqs = vault.emulator.client("sqs")
    records: list[dict[str, Any]] = []
    while len(records) < len(bodies):
        received = sqs.receive_message(
            QueueUrl=vault.provisioned.queue_url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
        )
        records += [_record(message) for message in received["Messages"]]
    return {"Records": records}


def _record(message: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = DOCUMENTED["Records"][0]
    return documented | {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }


def failures(answer: dict[str, Any]) -> list[str]:
    """The ids in an answer, which has no other content."""
    assert set(answer) == {"batchItemFailures"}
    assert all(set(failure) == {"itemIdentifier"} for failure in answer["batchItemFailures"])
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def frames(error: BaseException) -> list[str]:
    """The functions whose local variables an error holds: tools that report errors may send them on."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
