"""Synthetic events: for the demo, for `local seed`, and for tests.

Addresses are from ranges that are not in use: 198.18.0.0/15 (RFC 2544, benchmarks) and 2001:db8::/32
(RFC 3849, documentation).
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    PlainType,
)

Item = TypeVar("Item")

MESSY_EVERY: Final = 100
"""One body in this many is not a login event."""

_LOCALES: Final = ("RU", "PH", "ID", "CN", "FR", "US", "BR", "PL", "PT", None)
_VERSIONS: Final = ("2.3.0", "0.2.6", "2.2.1", "0.96", "4.3.9", "3.4", "1.1.6")
_DEVICES: Final = ("android", "ios")
_MESSY: Final = (
    '{"foo": "oops_wrong_msg_type", "bar": "123"}',
    '{"user_id": "u-1", "device_type": "ios", "ip": "", "device_id": "000-00-0000"}',
    "not json at all",
    "[]",
)
_DAY: Final = "2026-01-15"
_REPEATS_AMONG: Final = 10_000
"""The number of earlier events whose device or address later events may repeat."""


def made_up_events(count: int, *, seed: int, messy_every: int = MESSY_EVERY) -> Iterator[str]:
    """Generate `count` message bodies, always the same for a seed.

    About one event in five repeats an earlier device, address, or both. One body in each `messy_every` (0:
    none) is not a login event.
    """
    draw = _Draw(seed)
    seen: list[tuple[str, str]] = []
    yield from _with_messy(draw, count, messy_every, lambda: _event(draw, seen))


def made_up_messages(
    declaration: Declaration, count: int, *, seed: int, messy_every: int = MESSY_EVERY
) -> Iterator[str]:
    """Generate `count` message bodies of the declared events in turn, always the same for a seed.

    A message has all values of its event, days and moments only where they are required. About one personal value
    in five repeats an earlier value of its field, in any event.
    """
    draw = _Draw(seed)
    events = [event for event in declaration.events if not event.retired]
    seen: dict[str, list[str]] = {field.name: [] for field in declaration.fields}
    turns = itertools.cycle(events)
    yield from _with_messy(draw, count, messy_every, lambda: _message(draw, next(turns), seen))


def _with_messy(
    draw: _Draw, count: int, messy_every: int, body: Callable[[], str]
) -> Iterator[str]:
    messy_at = 0
    for index in range(count):
        if messy_every and index % messy_every == 0:
            messy_at = index + draw.below(min(messy_every, count - index))
        yield draw.one_of(_MESSY) if messy_every and index == messy_at else body()


def _event(draw: _Draw, seen: list[tuple[str, str]]) -> str:
    ip, device_id = _address(draw), _device(draw)
    if seen and draw.below(5) == 0:
        earlier_ip, earlier_device = draw.one_of(seen)
        ip, device_id = draw.one_of(
            ((earlier_ip, device_id), (ip, earlier_device), (earlier_ip, earlier_device))
        )
    if len(seen) < _REPEATS_AMONG:
        seen.append((ip, device_id))
    return json.dumps(
        {
            "user_id": str(uuid.UUID(int=draw.below(1 << 128), version=4)),
            "app_version": draw.one_of(_VERSIONS),
            "device_type": draw.one_of(_DEVICES),
            "ip": ip,
            "locale": draw.one_of(_LOCALES),
            "device_id": device_id,
        }
    )


def _message(draw: _Draw, event: DeclaredEvent, seen: dict[str, list[str]]) -> str:
    message: dict[str, Any] = {}
    for value in event.values:
        given = (
            _personal(draw, value, seen)
            if isinstance(value, PersonalValue)
            else _plain(draw, value)
        )
        if given is not None and not value.retired:
            _put(message, value.path.names, given)
    if event.when is not None:
        _put(message, event.when.path.names, event.when.equals)
    return json.dumps(message)


def _put(message: dict[str, Any], names: Sequence[str], value: object) -> None:
    for name in names[:-1]:
        message = message.setdefault(name, {})
    message[names[-1]] = value


def _personal(draw: _Draw, value: PersonalValue, seen: dict[str, list[str]]) -> str:
    earlier, kind = seen[value.field.name], value.field.kind
    if earlier and draw.below(5) == 0:
        return draw.one_of(earlier)
    options = dict(kind.options)
    made = {
        "ip": lambda: _address(draw),
        "email": lambda: f"person-{draw.below(100_000)}@example.com",
        "phone": lambda: (
            f"+4144{draw.below(9_000_000) + 1_000_000}"
        ),  # as long as numbers of Zurich are
        "uuid": lambda: str(uuid.UUID(int=draw.below(1 << 128), version=4)),
        "digits": lambda: str(draw.below(10**18)).rjust(18, "7")[: int(options.get("max", 18))],
    }.get(kind.name, lambda: _device(draw)[: kind.max_code_points])()
    if len(earlier) < _REPEATS_AMONG:
        earlier.append(made)
    return made


def _plain(draw: _Draw, column: PlainColumn) -> str | int | float | bool | None:
    if column.type is PlainType.TEXT:
        return str(uuid.UUID(int=draw.below(1 << 128), version=4))[: column.max]
    if column.type is PlainType.BOOLEAN:
        return draw.below(2) == 0
    if column.type in {PlainType.INTEGER, PlainType.DECIMAL}:
        return draw.below(1_000)
    day = _DAY if column.type is PlainType.DAY else f"{_DAY}T12:00:00Z"
    return day if column.required else None


def _address(draw: _Draw) -> str:
    if draw.below(20) == 0:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) + draw.below(1 << 96)))
    return str(ipaddress.IPv4Address((198 << 24) + (18 << 16) + draw.below(1 << 17)))


def _device(draw: _Draw) -> str:
    return f"{draw.below(1000):03}-{draw.below(100):02}-{draw.below(10_000):04}"


class _Draw:
    """Numbers from SHA-256 of the seed and a counter: the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def below(self, limit: int) -> int:
        """Draw a number from 0 to `limit` - 1. The bias is small enough for synthetic data."""
        self._count += 1
        digest = hashlib.sha256(f"vault-etl/made-up/{self._seed}/{self._count}".encode()).digest()
        return int.from_bytes(digest, "big") % limit

    def one_of(self, items: Sequence[Item]) -> Item:
        """Draw an item."""
        return items[self.below(len(items))]
