"""Differences between two declarations of one vault, and which of them are refused.

Nothing is renamed or deleted, since names are bound into stored values, and no value that was personal
becomes plain.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    Value,
    VaultField,
)


class Effect(StrEnum):
    """The classes of a change."""

    ADDS_FIELD = "adds a field"
    ADDS_OPTIONAL = "adds an optional value"
    ADDS_REQUIRED = "adds a required value"
    ADDS_EVENT = "adds an event"
    CHANGES_RULE = "changes a rule for new records"
    RETIRES = "retires"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DeclarationChange:
    """One change: the key that changes, such as `events.signups.personal.email`, its class, and for a refusal why."""

    where: str
    effect: Effect
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.effect}: {self.reason}" if self.reason else self.effect


def changes(old: Declaration, new: Declaration) -> Sequence[DeclarationChange]:
    """Return all changes from `old` to `new`, in the order of the new declaration, deletions last."""
    return [*_fields(old, new), *_events(old, new), *_plain_now(old, new)]


def lets_old_workers_write(found: Sequence[DeclarationChange]) -> bool:
    """Tell whether a worker with the old declaration writes what the new one accepts, and loses nothing required."""
    return all(change.effect in {Effect.ADDS_FIELD, Effect.ADDS_OPTIONAL} for change in found)


def _fields(old: Declaration, new: Declaration) -> Iterator[DeclarationChange]:
    before = {field.name: field for field in old.fields}
    for field in new.fields:
        where = f"fields.{field.name}"
        if field.name not in before:
            yield DeclarationChange(where, Effect.ADDS_FIELD)
        else:
            yield from _field(where, before[field.name], field)
    yield from _missing("fields", before, {field.name for field in new.fields})


def _field(where: str, old: VaultField, new: VaultField) -> Iterator[DeclarationChange]:
    if old.kind.name != new.kind.name:
        yield _refused(where, f"its kind is {old.kind.name}")
    elif old.kind.version != new.kind.version:
        yield _refused(where, f"its kind has version {old.kind.version}")
    elif (region := _other_region(old, new)) is not None:
        yield _refused(where, f"numbers without a plus are of the region {region}")
    elif old.kind.options != new.kind.options:
        yield _longer(where, old.kind.max_code_points, new.kind.max_code_points)
    yield from _retirement(where, old.retired, new.retired)


def _other_region(old: VaultField, new: VaultField) -> object:
    """Return the region before if there is another one now, in which equal spellings would have other tokens."""
    was, is_ = (dict(field.kind.options).get("region") for field in (old, new))
    return was if None not in (was, is_) and was != is_ else None


def _events(old: Declaration, new: Declaration) -> Iterator[DeclarationChange]:
    before = {event.name: event for event in old.events}
    for event in new.events:
        where = f"events.{event.name}"
        if event.name not in before:
            yield DeclarationChange(where, Effect.ADDS_EVENT)
        else:
            yield from _event(where, before[event.name], event)
    yield from _missing("events", before, {event.name for event in new.events})


def _event(where: str, old: DeclaredEvent, new: DeclaredEvent) -> Iterator[DeclarationChange]:
    for key, was, is_ in (
        ("subject", old.subject.name, new.subject.name),
        ("day", old.day.name, new.day.name),
    ):
        if was != is_:
            yield _refused(f"{where}.{key}", f"the {key} of the event is {was}")
    for key, differs in (("queue", old.queue != new.queue), ("when", old.when != new.when)):
        if differs:
            yield DeclarationChange(f"{where}.{key}", Effect.CHANGES_RULE)
    yield from _retirement(where, old.retired, new.retired)
    yield from _values(f"{where}.personal", old.personal, new.personal)
    yield from _values(f"{where}.plain", old.plain, new.plain)


def _values(where: str, old: Sequence[Value], new: Sequence[Value]) -> Iterator[DeclarationChange]:
    before = {value.name: value for value in old}
    for value in new:
        key = f"{where}.{value.name}"
        if value.name not in before:
            required = value.required and not value.retired
            yield DeclarationChange(key, Effect.ADDS_REQUIRED if required else Effect.ADDS_OPTIONAL)
        else:
            yield from _value(key, before[value.name], value)
    yield from _missing(where, before, {value.name for value in new})


def _value(where: str, old: Value, new: Value) -> Iterator[DeclarationChange]:
    if old.path != new.path:
        yield _refused(where, f"its path is {old.path}")
    if old.columns != new.columns:
        yield _refused(where, f"its columns are {', '.join(old.columns)}")
    if old.required != new.required:
        yield DeclarationChange(where, Effect.CHANGES_RULE)
    if isinstance(old, PlainColumn) and isinstance(new, PlainColumn):
        yield from _plain(where, old, new)
    if isinstance(old, PersonalValue) and isinstance(new, PersonalValue):
        yield from _personal(where, old, new)
    yield from _retirement(where, old.retired, new.retired)


def _personal(where: str, old: PersonalValue, new: PersonalValue) -> Iterator[DeclarationChange]:
    if old.field.name != new.field.name:
        yield _refused(where, f"its field is {old.field.name}")


def _plain(where: str, old: PlainColumn, new: PlainColumn) -> Iterator[DeclarationChange]:
    if old.type != new.type:
        yield _refused(where, f"its type is {old.type}")
    elif old.max is not None and new.max is not None and old.max != new.max:
        yield _longer(where, old.max, new.max)
    if old.numbers != new.numbers:
        yield DeclarationChange(where, Effect.CHANGES_RULE)


def _longer(where: str, old: int, new: int) -> DeclarationChange:
    """A longer text fits the columns after the change; a shorter limit would not fit stored values."""
    if new < old:
        return _refused(where, f"stored values have up to {old:,} characters")
    return DeclarationChange(where, Effect.CHANGES_RULE)


def _retirement(where: str, old: bool, new: bool) -> Iterator[DeclarationChange]:  # noqa: FBT001 - two states
    if new and not old:
        yield DeclarationChange(where, Effect.RETIRES)
    if old and not new:
        yield _refused(where, "it is retired for good")


def _missing(where: str, old: Iterable[str], new: set[str]) -> Iterator[DeclarationChange]:
    for name in old:
        if name not in new:
            yield _refused(f"{where}.{name}", "it is missing, and nothing is deleted or renamed")


def _plain_now(old: Declaration, new: Declaration) -> Iterator[DeclarationChange]:
    """Refuse each plain column that takes a value which was personal in a message of the old declaration."""
    now = {event.name: event for event in new.events}
    for event, before in itertools.product(new.events, old.events):
        if event.retired or not _may_take(event, before, now.get(before.name)):
            continue
        for column in event.plain:
            was = None if column.retired else _personal_at(before, column)
            if was:
                where = f"events.{event.name}.plain.{column.name}"
                yield _refused(where, f"events.{before.name}.personal.{was} is personal")


def _may_take(event: DeclaredEvent, before: DeclaredEvent, now: DeclaredEvent | None) -> bool:
    """Tell whether an event of the new declaration may take a message that was of the event `before`.

    A file is of no queue. A message in a file that two events take goes to quarantine, so another queue
    is enough as long as the event `before` still takes its messages: `now`.
    """
    is_kept = now is not None and not now.retired and now.when in {None, before.when}
    is_apart = is_kept and event.has_other_queue(before)
    return not is_apart and not event.has_other_texts(before)


def _personal_at(event: DeclaredEvent, column: PlainColumn) -> str | None:
    return next(
        (
            value.name
            for value in event.personal
            if value.path.is_within(column.path) or column.path.is_within(value.path)
        ),
        None,
    )


def _refused(where: str, reason: str) -> DeclarationChange:
    return DeclarationChange(where, Effect.REFUSED, reason)
