"""Messages of the declarations `BOTH`, by number: each has all personal values of its event, known to the test."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, Final

from tests.kit.declarations import widest_first
from vault_etl.declaration.model import Declaration, DeclaredEvent

TEXTS: Final = {
    "ip": "198.51.100.{}",
    "email": "person-{}@example.com",
    "phone": "+4144668{:04}",
    "text": "device-{}",
}
"""A value of each kind that `BOTH` declare, in its canonical form. The addresses are of RFC 5737."""


def numbered(declaration: Declaration, number: int) -> bytes:
    """The message of this number, whose values and subject are made of it: `user-7`, `198.51.100.7`."""
    event = event_of(declaration, number)
    return message(event, f"user-{number}", texts_of(event, number))


def event_of(declaration: Declaration, number: int) -> DeclaredEvent:
    """The event of the message of this number: the events come in turn."""
    return widest_first(declaration)[number % len(declaration.events)]


def texts_of(event: DeclaredEvent, *numbers: int) -> dict[str, str]:
    """The text of each personal value, by name, made of the number in its place, or of the last one."""
    chosen = [*numbers, *numbers[-1:] * len(event.personal)]
    kinds = (value.field.kind.name for value in event.personal)
    texts = (TEXTS[kind].format(number % 250) for kind, number in zip(kinds, chosen, strict=False))
    return {value.name: text for value, text in zip(event.personal, texts, strict=True)}


def message(
    event: DeclaredEvent, subject: str, texts: dict[str, str], day: dt.date | None = None
) -> bytes:
    """The JSON of a message with these values at their paths, and the required plain ones, which are texts."""
    body: dict[str, Any] = {}
    for value in event.personal:
        _put(body, value.path.names, texts[value.name])
    for column in event.plain:
        if column == event.subject:
            _put(body, column.path.names, subject)
        elif column == event.day and day is not None:
            _put(body, column.path.names, day.isoformat())
        elif column.required:
            _put(body, column.path.names, "web")
    if event.when is not None:
        _put(body, event.when.path.names, event.when.equals)
    return json.dumps(body).encode()


def _put(body: dict[str, Any], names: Sequence[str], value: object) -> None:
    for name in names[:-1]:
        body = body.setdefault(name, {})
    body[names[-1]] = value
