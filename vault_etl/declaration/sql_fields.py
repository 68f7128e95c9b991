"""Declared fields as SQL has them: the values of each, and the columns in which they are searched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vault_etl.declaration.model import VaultField
from vault_etl.declaration.sql_names import SqlEvent, SqlName, SqlPersonal


@dataclass(frozen=True, slots=True)
class SqlField:
    """A field of the vault. `kind` is the name of its kind."""

    name: SqlName
    kind: str
    retired: bool
    values: tuple[tuple[SqlEvent, SqlPersonal], ...]
    """The values of the field, each with its event."""

    @classmethod
    def of(cls, field: VaultField, events: Iterable[SqlEvent]) -> SqlField:
        """Return the field as SQL has it."""
        values = ((event, value) for event in events for value in event.personal)
        return cls(
            SqlName(field.name),
            field.kind.name,
            field.retired,
            tuple((event, value) for event, value in values if value.field.raw == field.name),
        )


@dataclass(frozen=True, slots=True)
class SqlSearched:
    """A column in which a value of a field is searched, and the columns of the same row that are searched before it."""

    field: SqlName
    event: SqlEvent
    column: SqlName
    before: tuple[SqlName | None, ...]
    """As many for each column; None where there are fewer."""

    @classmethod
    def all_of(cls, fields: Iterable[SqlField]) -> tuple[SqlSearched, ...]:
        """Return all columns of tokens, by field and event."""
        found = list[tuple[SqlName, SqlEvent, tuple[SqlName, ...]]]()
        for field in fields:
            for event in dict.fromkeys(event for event, _ in field.values):
                values = [value for of, value in field.values if of == event]
                pairs = ((value.token, value.next_token) for value in values)
                found.append((field.name, event, tuple(name for pair in pairs for name in pair)))
        width = max((len(columns) for *_, columns in found), default=1) - 1
        return tuple(
            cls(field, event, column, (*columns[:at], *[None] * (width - at)))
            for field, event, columns in found
            for at, column in enumerate(columns)
        )
