"""Answers of SQS in the JSON protocol."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

CANARY: Final = "203.0.113.77"
"""A body that no error, log or metric may have."""


def message(body: str, **parts: object) -> dict[str, Any]:
    """A message as SQS returns it."""
    return {
        "MessageId": "id",
        "ReceiptHandle": "handle",
        "Body": body,
        "MD5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "Attributes": {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "3"},
    } | parts


def answer(*messages: dict[str, Any]) -> bytes:
    """The answer to a receive."""
    return json.dumps({"Messages": messages}).encode()
