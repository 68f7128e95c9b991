"""Made-up events: repeatable, about no real person, and as irregular as real ones."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter

import pytest

from tests.kit.declarations import TWO_EVENTS, TWO_EVENTS_TOML, WIDER
from tests.kit.parsed import parse_event
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration
from vault_etl.event.events import EventParser
from vault_etl.event.made_up_events import made_up_events, made_up_messages
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Rejection
from vault_etl.kinds.make import OPTIONS

NOBODYS = [ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("2001:db8::/32")]


def test_a_seed_always_makes_the_same_events() -> None:
    """One seed makes the same events each time; another seed makes others."""
    assert list(made_up_events(50, seed=1)) == list(made_up_events(50, seed=1))
    assert list(made_up_events(50, seed=1)) != list(made_up_events(50, seed=2))


@pytest.mark.parametrize("count", [0, 1, 2, 99, 100, 101, 250])
def test_the_number_of_events_is_as_asked_for(count: int) -> None:
    """The generator makes exactly this many bodies."""
    assert len(list(made_up_events(count, seed=3))) == count


@pytest.mark.parametrize(
    ("count", "messy_every", "messy"), [(300, 100, 3), (300, 0, 0), (10, 1, 10)]
)
def test_a_share_of_the_bodies_is_no_login_event(count: int, messy_every: int, messy: int) -> None:
    """One body in `messy_every` is no login event, and all others are."""
    bodies = made_up_events(count, seed=4, messy_every=messy_every)
    kinds = Counter(type(parse_event(body.encode())) for body in bodies)
    assert kinds == Counter({ParsedEvent: count - messy, Rejection: messy})


def test_the_addresses_belong_to_no_person() -> None:
    """All addresses are from the ranges for benchmarks and documentation."""
    for body in made_up_events(300, seed=5, messy_every=0):
        address = ipaddress.ip_address(json.loads(body)["ip"])
        assert any(address in network for network in NOBODYS)


@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_some_values_repeat(field: str) -> None:
    """About one event in five has an earlier device, address, or both: there are duplicates to see."""
    values = [json.loads(body)[field] for body in made_up_events(500, seed=6, messy_every=0)]
    repeats = len(values) - len(set(values))
    assert 25 < repeats < 125


@pytest.mark.parametrize("declaration", [WIDER, TWO_EVENTS], ids=["wider", "two events"])
def test_messages_of_a_declaration_are_its_events(declaration: Declaration) -> None:
    """Each event gets its turn, and each of its personal values is there; one body in a hundred is no event."""
    bodies = list(made_up_messages(declaration, 300, seed=7))
    assert bodies == list(made_up_messages(declaration, 300, seed=7))
    parsed = [EventParser(declaration).parse(body.encode()) for body in bodies]
    events = [event for event in parsed if isinstance(event, ParsedEvent)]
    assert len(events) == 297
    assert {event.event.name for event in events} == {event.name for event in declaration.events}
    assert all(len(event.personal) == len(event.event.personal) for event in events)
    assert not any(event.extra_fields for event in events)


def test_made_up_values_of_a_field_repeat_across_events() -> None:
    """So that two events can be joined by their tokens."""
    parser = EventParser(TWO_EVENTS)
    messages = made_up_messages(TWO_EVENTS, 300, seed=8, messy_every=0)
    events = [e for m in messages if isinstance(e := parser.parse(m.encode()), ParsedEvent)]
    of = {
        name: {v.expose() for e in events for n, v in e.personal.items() if n == name}
        for name in ("ip", "home_ip")
    }
    assert of["ip"] & of["home_ip"]


@pytest.mark.parametrize("kind", OPTIONS)
def test_made_up_values_are_of_their_kind(kind: str) -> None:
    """Every kind that a declaration can name has made-up values."""
    text = TWO_EVENTS_TOML.replace('kind = "ip"', f'kind = "{kind}"')
    declaration = parse_declaration(text.encode(), "kinds.toml")
    for body in made_up_messages(declaration, 100, seed=9, messy_every=0):
        assert isinstance(EventParser(declaration).parse(body.encode()), ParsedEvent)
