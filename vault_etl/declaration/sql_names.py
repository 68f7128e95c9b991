"""Declared events and fields as SQL has them: names that quote themselves, types, and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.declaration.model import (
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    PlainType,
)
from vault_etl.declaration.names import KEYWORDS


@dataclass(frozen=True, slots=True)
class SqlName:
    """A name. Its text is quoted where it must be, as pg_dump does; `raw` is the name itself."""

    raw: str

    def __str__(self) -> str:
        return f'"{self.raw}"' if self.raw in KEYWORDS else self.raw

    def plus(self, end: str) -> SqlName:
        """Return the name with an end: `user_logins_masked`."""
        return SqlName(self.raw + end)


def literal(value: SqlName | str) -> str:
    """Return the text literal of a name or a text."""
    text = value.raw if isinstance(value, SqlName) else value
    return "'" + text.replace("'", "''") + "'"


def prefixed(names: Iterable[SqlName], alias: str) -> str:
    """Return the names in a list, each behind an alias with its dot: `w.masked_ip, w.masked_device_id`."""
    return ", ".join(f"{alias}{name}" for name in names)


@dataclass(frozen=True, slots=True)
class SqlPersonal:
    """A personal value of an event, and its columns."""

    name: SqlName
    """The name in the event, which associated data bind."""
    field: SqlName
    """The field of its keys and tokens."""
    token: SqlName
    next_token: SqlName
    ciphertext: SqlName
    tokens: tuple[SqlName, ...]
    """The columns of all its tokens: of the value, and of each derived form."""
    next_tokens: tuple[SqlName, ...]
    forms: tuple[str | None, ...]
    """The derived form of each of its tokens; None for the token of the value."""
    required: bool
    """True if each new record has the value."""
    max_bytes: int
    """The most bytes of its text."""
    max_octets: int
    """The most octets of its ciphertext."""

    @property
    def token_pairs(self) -> tuple[tuple[SqlName, SqlName], ...]:
        """The columns of each of its tokens: of the tokens in use, and of a second generation."""
        return tuple(zip(self.tokens, self.next_tokens, strict=True))

    @classmethod
    def of(cls, value: PersonalValue) -> SqlPersonal:
        """Return the value as SQL has it."""
        return cls(
            name=SqlName(value.name),
            field=SqlName(value.field.name),
            token=SqlName(value.token),
            next_token=SqlName(value.next_token),
            ciphertext=SqlName(value.ciphertext),
            tokens=tuple(map(SqlName, value.tokens)),
            next_tokens=tuple(SqlName(f"next_{token}") for token in value.tokens),
            forms=tuple(form for _, form in value.token_names),
            required=value.required and not value.retired,
            max_bytes=value.field.kind.max_bytes,
            max_octets=_sealed(value.field.kind.max_bytes),
        )


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A plain column."""

    name: SqlName
    type: str
    """The type in SQL."""
    required: bool
    """True if each new record has it. False of the event's day: a record without one has the day that it was sent."""
    max: int | None
    moment: SqlName | None
    """The column of the moment beside a day."""
    is_day: bool
    """True of the event's day, which every record has."""
    is_subject: bool
    limits: SqlName
    """The name of the constraint for the limits of its values."""

    @property
    def check(self) -> str:
        """The limits of its values, as a CHECK; empty for a type without any."""
        if self.type == "date":
            return f" CONSTRAINT {self.limits} CHECK ({self.name} BETWEEN '0001-01-01' AND '9999-12-31')"
        if self.max is None:
            return ""
        limit = f"BETWEEN 1 AND {self.max}" if self.required else f"<= {self.max}"
        return f" CONSTRAINT {self.limits} CHECK (char_length({self.name}) {limit})"

    @classmethod
    def of(cls, column: PlainColumn, event: DeclaredEvent) -> SqlColumn:
        """Return the column as SQL has it."""
        return cls(
            name=SqlName(column.name),
            type=_TYPES[column.type],
            required=column.required and not column.retired and column.name != event.day.name,
            max=column.max,
            moment=None if column.moment is None else SqlName(column.moment),
            is_day=column.name == event.day.name,
            is_subject=column.name == event.subject.name,
            limits=_limits(event.name, column.name),
        )


@dataclass(frozen=True, slots=True)
class SqlEvent:
    """An event: its table, and the names that follow from it."""

    name: SqlName
    subject: SqlName
    day: SqlName
    personal: tuple[SqlPersonal, ...]
    plain: tuple[SqlColumn, ...]
    details: tuple[SqlName, ...]
    """The plain columns besides the subject, the day and its moment."""
    retired: bool

    @classmethod
    def of(cls, event: DeclaredEvent) -> SqlEvent:
        """Return the event as SQL has it."""
        return cls(
            name=SqlName(event.name),
            subject=SqlName(event.subject.name),
            day=SqlName(event.day.name),
            personal=tuple(map(SqlPersonal.of, event.personal)),
            plain=tuple(SqlColumn.of(column, event) for column in event.plain),
            details=tuple(map(SqlName, event.details)),
            retired=event.retired,
        )

    @property
    def moment(self) -> SqlName | None:
        """The column of the moment beside the event's day."""
        return next((column.moment for column in self.plain if column.is_day), None)

    @property
    def fields(self) -> tuple[SqlName, ...]:
        """The fields of its values, in the order of their names."""
        return tuple(map(SqlName, sorted({value.field.raw for value in self.personal})))

    @property
    def tokens(self) -> tuple[SqlName, ...]:
        """The columns of all tokens."""
        return tuple(token for value in self.personal for token in value.tokens)

    @property
    def next_tokens(self) -> tuple[SqlName, ...]:
        """The columns of the tokens of a second generation."""
        return tuple(token for value in self.personal for token in value.next_tokens)

    @property
    def required(self) -> tuple[SqlPersonal, ...]:
        """The required personal values."""
        return tuple(value for value in self.personal if value.required)

    @property
    def required_tokens(self) -> tuple[SqlName, ...]:
        """The columns of the tokens of required values."""
        return tuple(token for value in self.required for token in value.tokens)

    @property
    def required_next_tokens(self) -> tuple[SqlName, ...]:
        """The columns of the tokens of a second generation, of required values."""
        return tuple(token for value in self.required for token in value.next_tokens)

    @property
    def ciphertexts(self) -> tuple[SqlName, ...]:
        """The columns of all ciphertexts."""
        return tuple(value.ciphertext for value in self.personal)

    @property
    def required_plain(self) -> tuple[SqlName, ...]:
        """The required plain columns, which stand before the tokens."""
        return tuple(name for c in self.plain if c.required for name in _columns(c))

    @property
    def optional_plain(self) -> tuple[SqlName, ...]:
        """All other plain columns, which stand behind the generations."""
        return tuple(name for c in self.plain if not c.required for name in _columns(c))

    @property
    def shown(self) -> tuple[SqlName, ...]:
        """The columns that analysts see: no ciphertext, and no token of a second generation."""
        id_ = SqlName("record_id")
        return (id_, *self.required_plain, *self.tokens, *self.optional_plain)

    @property
    def columns(self) -> tuple[SqlName, ...]:
        """All columns, in the order of the table."""
        return (
            SqlName("record_id"),
            *self.required_plain,
            *(*self.tokens, *self.next_tokens, *self.ciphertexts),
            *(SqlName("token_generation"), SqlName("next_token_generation")),
            *self.optional_plain,
        )

    @property
    def types(self) -> Mapping[SqlName, str]:
        """The type of each column in SQL, in the order of the table."""
        types = {name: column.type for column in self.plain for name in _columns(column)}
        types |= {c.moment: "timestamptz" for c in self.plain if c.moment is not None}
        types |= dict.fromkeys((SqlName("record_id"), *self.tokens, *self.next_tokens), "uuid")
        types |= dict.fromkeys(self.ciphertexts, "bytea")
        types |= dict.fromkeys(
            map(SqlName, ("token_generation", "next_token_generation")), "smallint"
        )
        return {name: types[name] for name in self.columns}


def _columns(column: SqlColumn) -> tuple[SqlName, ...]:
    return (column.name,) if column.moment is None else (column.name, column.moment)


def _limits(event: str, column: str) -> SqlName:
    """Return the name that PostgreSQL would choose, unless it is too long."""
    name = f"{event}_{column}_check"
    return SqlName(name if len(name) <= _MAX_NAME else f"{column}_check")


def _sealed(longest: int) -> int:
    """Return the octets of the ciphertext of so many bytes: 1 to 16 of padding, and 33 of format 1."""
    return (longest // 16 + 1) * 16 + 33


_MAX_NAME: Final = 63
_TYPES: Final = {
    PlainType.TEXT: "text",
    PlainType.INTEGER: "bigint",
    PlainType.DECIMAL: "numeric",
    PlainType.BOOLEAN: "boolean",
    PlainType.DAY: "date",
    PlainType.MOMENT: "timestamptz",
}
