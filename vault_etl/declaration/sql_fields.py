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

    @property
    def forms(self) -> tuple[str | None, ...]:
        """The forms that have tokens: None, which is the value itself, and each derived form that a value declares."""
        return tuple(
            dict.fromkeys([None, *(form for _, value in self.values for form in value.forms)])
        )

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
class SqlTokenColumn:
    """The columns of one token of a value: of the tokens in use, and of a second generation."""

    event: SqlEvent
    value: SqlPersonal
    token: SqlName
    next_token: SqlName

    @property
    def block(self) -> str:
        """The name of the column in the names of blocks, where it is unique."""
        return f"{self.event.name.raw}/{self.token.raw}"


@dataclass(frozen=True, slots=True)
class SqlTokens:
    """Tokens that can be joined: those of a field (`ip`), or of a derived form of it (`ip/network`)."""

    name: SqlName
    form: str | None
    columns: tuple[SqlTokenColumn, ...]

    @classmethod
    def all_of(cls, fields: Iterable[SqlField]) -> tuple[SqlTokens, ...]:
        """Return all tokens that some value has, and those of each field."""
        return tuple(cls._of(field, form) for field in fields for form in field.forms)

    @classmethod
    def _of(cls, field: SqlField, form: str | None) -> SqlTokens:
        columns = (
            SqlTokenColumn(event, value, *pair)
            for event, value in field.values
            for pair, of_form in zip(value.token_pairs, value.forms, strict=True)
            if of_form == form
        )
        return cls(
            field.name if form is None else field.name.plus(f"/{form}"), form, tuple(columns)
        )


@dataclass(frozen=True, slots=True)
class SqlSearched:
    """A column in which tokens are searched, and the columns of the same row that are searched before it."""

    name: SqlName
    """The name of the tokens: of the field, or `ip/network`."""
    event: SqlEvent
    column: SqlName
    before: tuple[SqlName | None, ...]
    """As many for each column; None where there are fewer."""

    @classmethod
    def all_of(cls, tokens: Iterable[SqlTokens]) -> tuple[SqlSearched, ...]:
        """Return all columns of tokens, by their name and event."""
        found = list[tuple[SqlName, SqlEvent, tuple[SqlName, ...]]]()
        for each in tokens:
            for event in dict.fromkeys(column.event for column in each.columns):
                pairs = ((c.token, c.next_token) for c in each.columns if c.event == event)
                found.append((each.name, event, tuple(name for pair in pairs for name in pair)))
        width = max((len(columns) for *_, columns in found), default=1) - 1
        return tuple(
            cls(name, event, column, (*columns[:at], *[None] * (width - at)))
            for name, event, columns in found
            for at, column in enumerate(columns)
        )
