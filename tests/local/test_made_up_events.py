"""Made-up events: repeatable, of the samples' shape, and of no real person."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from pathlib import Path

import pytest

from vault_etl.event.made_up_events import made_up_events

SAMPLES = Path(__file__).parents[1] / "data" / "login-events.jsonl"
NOBODYS = (ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("2001:db8::/32"))


def test_made_up_events_are_repeatable() -> None:
    """A seed always gives the same events, and another seed other events."""
    assert list(made_up_events(50, seed=1)) == list(made_up_events(50, seed=1))
    assert list(made_up_events(50, seed=1)) != list(made_up_events(50, seed=2))


def test_made_up_events_have_the_shape_of_the_samples() -> None:
    """The fields of the samples have values of the same types."""
    sample = json.loads(SAMPLES.read_text(encoding="utf-8").split("\n", 1)[0])
    for body in made_up_events(200, seed=3, messy_every=0):
        event = json.loads(body)
        assert event.keys() == sample.keys()
        assert {type(value) for value in event.values()} <= {str, type(None)}


def test_addresses_belong_to_no_network() -> None:
    """Every address is in a range reserved for tests and documents."""
    for body in made_up_events(500, seed=4, messy_every=0):
        address = ipaddress.ip_address(json.loads(body)["ip"])
        assert any(address in network for network in NOBODYS if network.version == address.version)


def test_addresses_and_devices_repeat() -> None:
    """About one event in ten repeats an earlier address, and as many a device."""
    events = [json.loads(body) for body in made_up_events(1_000, seed=5, messy_every=0)]
    for field in ("ip", "device_id"):
        distinct = len(Counter(event[field] for event in events))
        assert 800 < distinct < 930


@pytest.mark.parametrize(("count", "messy"), [(1, 1), (100, 1), (101, 2), (300, 3), (0, 0)])
def test_some_made_up_bodies_are_not_events(count: int, messy: int) -> None:
    """One body in each hundred, complete or not, is not a login event."""
    bodies = list(made_up_events(count, seed=6))
    assert len(bodies) == count
    assert sum('"locale"' not in body for body in bodies) == messy
