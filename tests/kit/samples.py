"""The 100 sample events, and the records that are made of them."""

from __future__ import annotations

import json
from typing import Any

from tests.kit.vault import Vault, sample_events

UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def a_record(vault: Vault) -> tuple[str, str]:
    """Return the id and the user of any record."""
    ((record_id, user_id),) = vault.sql("SELECT record_id, user_id FROM user_logins LIMIT 1")
    return str(record_id), user_id


def stored_samples() -> list[dict[str, Any]]:
    """The samples that are login events."""
    parsed = (json.loads(body) for body in sample_events())
    return [event for event in parsed if "user_id" in event]


def sample_values() -> set[str]:
    """The addresses and device ids of the samples."""
    events = [json.loads(body) for body in sample_events()]
    return {event[name] for event in events if "ip" in event for name in ("ip", "device_id")}
