"""Bodies of messages. The addresses are from ranges that belong to nobody (RFC 5737, RFC 3849)."""

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
