"""Made-up login events for one test."""

from __future__ import annotations

import json
import uuid
from typing import Any


def event(**changes: Any) -> str:  # noqa: ANN401 - bad ones too
    """A body that is a login event, but for `changes`; None leaves a field out."""
    fields = {
        "user_id": str(uuid.uuid4()),
        "app_version": "2.3.0",
        "device_type": "android",
        "ip": "203.0.113.7",
        "locale": "PH",
        "device_id": "593-47-5928",
        **changes,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def events(count: int) -> list[str]:
    """`count` events, each of another address and device."""
    return [event(ip=f"203.0.{n // 250}.{n % 250}", device_id=f"dev-{n:05}") for n in range(count)]
