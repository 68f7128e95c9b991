"""Rules over a whole declaration: limits, names that are taken, values that are personal and plain, routes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.faults import Faults
from vault_etl.declaration.iam_queues import queues_of
from vault_etl.declaration.key_lines import KeyPath
from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    PlainType,
    Value,
)
from vault_etl.declaration.names import (
    MAX_NAME_BYTES,
    is_reserved_column,
    is_reserved_event,
)

MAX_FIELDS: Final = 32
"""The policy of a role lists the fields, each up to 34 characters with quotes and comma, in up to two
statements: 2,176 of the 6,144 characters of a managed policy in AWS. The statements need the rest."""

MAX_EVENTS: Final = 16
"""Each event has a partition a month: 16 events of five years are 960, and Postgres plans for some thousand."""

MAX_PERSONAL: Final = 16
"""Personal values of one event. Each has two indexes, and every record writes to all of them. A function of Postgres
has 100 arguments at most: that which gives a detached month new tokens has 4, and 5 a value with a derived form."""

MAX_PLAIN_COLUMNS: Final = 64
"""Plain columns of one event. Postgres needs a row to fit a page of 8 kB. With 16 personal values, and one
derived form of each, a row has 80 pointers of 18 bytes to values out of line, and 64 tokens of 16 bytes: 2.5 kB."""

MAX_SUBJECT: Final = 512
"""The longest subject, in code points. It is indexed: 2,048 bytes of the 2,704 of an entry of a B-tree."""

_MONTH: Final = re.compile(r"[0-9]{4}_[0-9]{2}")


def check(declaration: Declaration, faults: Faults) -> None:
    """Add a fault for each broken rule. The other rules compare each with each, and so take few enough."""
    _limits(declaration, faults)
    if faults.found:
        return
    for event in declaration.events:
        _subject_and_day(event, faults)
        _columns(event, faults)
        _values(event, faults)
        if not event.retired and all(value.retired for value in event.personal):
            what = f"the event {event.name} has no personal value"
            faults.add(_of(event), what, "declare one, or do not store this event in the vault")
    _names(declaration, faults)
    _relations(declaration, faults)
    _routes(declaration, faults)
    _queues(declaration, faults)


def _limits(declaration: Declaration, faults: Faults) -> None:
    kept = "docs/declaration.md has the limits, and why"
    for what, entries, most in (
        ("field", declaration.fields, MAX_FIELDS),
        ("event", declaration.events, MAX_EVENTS),
    ):
        if len(entries) > most:
            excess = (f"{what}s", entries[most].name)
            faults.add(excess, f"{len(entries)} {what}s are too many: {most} at most", kept)
    for event in declaration.events:
        for key, values, most in (
            ("personal", event.personal, MAX_PERSONAL),
            ("plain", event.plain, MAX_PLAIN_COLUMNS),
        ):
            if len(values) > most:
                where = (*_of(event), key, values[most].name)
                faults.add(where, f"{len(values)} {key} values are too many: {most} at most", kept)


def _subject_and_day(event: DeclaredEvent, faults: Faults) -> None:
    subject, day = event.subject, event.day
    if subject.type is not PlainType.TEXT or not subject.required or subject.retired:
        what = f"the subject {subject.name} is not a required text"
        hint = 'type = "text", required = true, not retired; numbers = "whole" takes numbers too'
        faults.add((*_of(event), "subject"), what, hint)
    elif subject.max is not None and subject.max > MAX_SUBJECT:
        where = (*_of(event), "plain", subject.name, "max")
        faults.add(where, f"a subject has {MAX_SUBJECT} characters at most", "an index holds it")
    if day.type is not PlainType.DAY or day.retired:
        what = f"the day {day.name} is not a column of the type day"
        faults.add((*_of(event), "day"), what, 'type = "day", not retired')


def _columns(event: DeclaredEvent, faults: Faults) -> None:
    """Check that each column is made once, and that none is the vault's or Postgres's."""
    made: dict[str, KeyPath] = {}
    for value in event.values:
        where = _of_value(event, value)
        given = (value.name, value.token) if isinstance(value, PersonalValue) else value.columns
        for name in given:
            if is_reserved_column(name):
                hint = "the vault or Postgres has this column: choose another name"
                faults.add(where, f"no column can be called {name}", hint)
        for column in value.columns:
            if made.setdefault(column, where) is not where or value.columns.count(column) > 1:
                hint = f"{'.'.join(made[column])} has the other: choose another name"
                faults.add(where, f"the event {event.name} has the column {column} twice", hint)
                break


def _values(event: DeclaredEvent, faults: Faults) -> None:
    """Check that no value is taken twice, and that no value of a retired field is taken."""
    values: tuple[Value, ...] = (*event.personal, *event.plain)
    for one, other in itertools.combinations(values, 2):
        if not (one.path.is_within(other.path) or other.path.is_within(one.path)):
            continue
        if one.name == other.name:  # a fault of `_names`
            continue
        where, what = _of_value(event, other), f"the value at {other.path}"
        hint = f"{'.'.join(_of_value(event, one))} takes it already"
        if isinstance(one, PersonalValue) and isinstance(other, PlainColumn):
            if not other.retired:  # a retired personal value stays personal
                faults.add(where, f"{what} is personal, and plain too", hint)
        elif not (one.retired or other.retired):
            faults.add(where, f"{what} is taken twice", hint)
    for value in event.personal:
        if event.when and event.when.path.is_within(value.path):
            what = f"the value at {event.when.path} is personal, and `when` has it in clear"
            faults.add((*_of(event), "when"), what, "tell the events apart by another value")
        if value.field.retired and not (value.retired or event.retired):
            hint = "retire the value too: retired = true"
            faults.add(_of_value(event, value), f"the field {value.field.name} is retired", hint)


def _names(declaration: Declaration, faults: Faults) -> None:
    """Check that a name which is personal anywhere is plain nowhere, since people read names, and not paths."""
    personal = {field.name: f"fields.{field.name}" for field in declaration.fields} | {
        value.name: ".".join(_of_value(event, value))
        for event in declaration.events
        for value in event.personal
    }
    for event in declaration.events:
        for column in event.plain:
            for name in column.columns:
                if (declared := personal.get(FieldName(name))) is not None:
                    hint = f"{declared} is personal: make it personal here too, or give another value another name"
                    faults.add(_of_value(event, column), f"{name} is personal, and plain too", hint)


def _relations(declaration: Declaration, faults: Faults) -> None:
    """Check the names of tables, views and indexes: Postgres cuts long ones, and has each once in a schema."""
    made: dict[str, str] = {}
    for event in declaration.events:
        where = _of(event)
        if is_reserved_event(event.name):
            hint = "the vault has a table or functions of this name: choose another one"
            faults.add(where, f"no event can be called {event.name}", hint)
        for relation in _relations_of(event):
            if relation in made:
                what = f"two tables, views or indexes would be called {relation}"
                faults.add(
                    where, what, f"one is of the event {made[relation]}: choose another name"
                )
                break
            made[relation] = event.name
        longest = max(_relations_of(event), key=len)
        if len(longest) > MAX_NAME_BYTES:
            what = f"the index {longest} would have more than {MAX_NAME_BYTES} bytes"
            faults.add(where, what, "choose a shorter name for the event or the token")
        for other in declaration.events:
            prefix, _, month = event.name.rpartition(f"{other.name}_")
            if not prefix and other is not event and _MONTH.fullmatch(month):
                what = f"{event.name} would be a month of the event {other.name}"
                faults.add(where, what, "choose another name")


def _relations_of(event: DeclaredEvent) -> Iterator[str]:
    yield event.name
    indexed = [event.subject.name, event.day.name]
    for value in event.personal:
        indexed += [*value.tokens, *(f"next_{token}" for token in value.tokens)]
    yield from (f"{event.name}_{end}" for end in ("masked", "undated", "pkey"))
    yield from (f"{event.name}_{column}" for column in dict.fromkeys(indexed))


def _routes(declaration: Declaration, faults: Faults) -> None:
    """Check that at most one event takes a message."""
    active = declaration.active_events
    if not active:
        what = "every event is retired" if declaration.events else "there is no event"
        faults.add(("events",), what, "declare one under [events.NAME]")
    for one, other in itertools.combinations(active, 2):
        if not one.is_apart_from(other):
            what = f"a message could be of the events {one.name} and {other.name}"
            hint = 'give each its queue, or `when = {path = "$.type", equals = "…"}` with one path'
            faults.add(_of(other), what, hint)


def _queues(declaration: Declaration, faults: Faults) -> None:
    """Check that no queue is the dead-letter queue of another: the template makes each once."""
    dead = {queue.dead_name: queue.name for queue in queues_of(declaration)}
    for event in declaration.active_events:
        if event.queue in dead:
            what = f"{event.queue} is the dead-letter queue of {dead[event.queue]}"
            faults.add((*_of(event), "queue"), what, "give the event a queue of another name")


def _of(event: DeclaredEvent) -> KeyPath:
    return ("events", event.name)


def _of_value(event: DeclaredEvent, value: Value) -> KeyPath:
    part = "personal" if isinstance(value, PersonalValue) else "plain"
    return ("events", event.name, part, value.name)
