"""The declarations of a vault, one after the other: what a new one may change, and what the tables hold of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vault_etl.declaration.changes import DeclarationChange, Effect, changes
from vault_etl.declaration.model import Declaration, DeclaredEvent, PlainColumn


def changes_since(history: Sequence[Declaration], new: Declaration) -> Sequence[DeclarationChange]:
    """Return the changes from the newest declaration, then what an earlier one refuses besides.

    So a value stays personal in steps too: a `when` that is narrowed first, and a plain column that comes later.
    """
    found = dict.fromkeys(changes(history[-1], new))
    for earlier in history[:-1]:
        refused = (c for c in changes(earlier, new) if c.effect is Effect.REFUSED)
        found.update(dict.fromkeys(refused))
    return list(found)


def as_stored(history: Sequence[Declaration]) -> Declaration:
    """Return the newest declaration, as the tables are made for it.

    A plain column is NOT NULL if every declaration requires it, the first one too: of a column that was added
    or optional once, there are rows without a value, and the workers alone refuse others.
    """
    *earlier, newest = history
    events = tuple(_event(event, earlier) for event in newest.events)
    return dataclasses.replace(newest, events=events)


def _event(event: DeclaredEvent, earlier: Sequence[Declaration]) -> DeclaredEvent:
    before = [e for declared in earlier for e in declared.events if e.name == event.name]
    plain = {column.name: _column(column, before) for column in event.plain}
    return dataclasses.replace(
        event,
        plain=tuple(plain.values()),
        subject=plain[event.subject.name],
        day=plain[event.day.name],
    )


def _column(column: PlainColumn, before: Sequence[DeclaredEvent]) -> PlainColumn:
    was = [{c.name: c.required for c in event.plain} for event in before]
    always = all(required.get(column.name, False) for required in was)
    return dataclasses.replace(column, required=column.required and always)
