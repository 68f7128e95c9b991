"""The parsed declaration: fields of the vault, and events with their personal values and plain columns.

Every value here was checked by `declaration.parse`. Tuples have the order of
`declaration.order`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.declaration.json_path import JsonPath
from vault_etl.kinds.kind import DerivedForm, Kind

FORMAT: Final = 1
"""The format of the file that this version reads."""


@dataclass(frozen=True, slots=True)
class VaultField:
    """`[fields.NAME]`: one kind, one token key a generation, one domain of joins.

    A retired field has keys and stored values, and takes no new ones.
    """

    name: FieldName
    kind: Kind
    retired: bool = False


def derived_name(name: FieldName, form: DerivedForm) -> FieldName:
    """Return the name of a derived form of a field or value: `ip/network`."""
    return FieldName(f"{name}/{form.name}")


@dataclass(frozen=True, slots=True)
class PersonalValue:
    """An entry of `[events.NAME.personal]`: a value that is stored as a token and a ciphertext.

    Associated data binds `name`; tokens and keys are those of `field`.
    """

    name: FieldName
    """The name in the event. A value of that name is of the field of that name, unless another one is declared."""
    field: VaultField
    path: JsonPath
    token: str
    """The column of the token."""
    required: bool = False
    derived: tuple[DerivedForm, ...] = ()
    """The forms of the kind that get a token of their own."""
    retired: bool = False
    token_names: tuple[tuple[FieldName, str | None], ...] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    """The names of its tokens, in the order of `tokens`, each with its derived form: `ip`, and `ip/network`."""

    def __post_init__(self) -> None:
        """Make the names of its tokens, which each record needs, once."""
        forms = ((derived_name(self.name, form), form.name) for form in self.derived)
        object.__setattr__(self, "token_names", ((self.name, None), *forms))

    @property
    def next_token(self) -> str:
        """The column of the token of a second generation."""
        return f"next_{self.token}"

    @property
    def ciphertext(self) -> str:
        """The column of the ciphertext."""
        return f"{self.name}_ciphertext"

    @property
    def tokens(self) -> tuple[str, ...]:
        """The columns of its tokens: of the value, and of each derived form."""
        return (self.token, *(f"{self.token}_{form.name}" for form in self.derived))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the value."""
        return (*self.tokens, *(f"next_{token}" for token in self.tokens), self.ciphertext)


class PlainType(StrEnum):
    """The types of plain columns."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DAY = "day"
    MOMENT = "moment"


class Numbers(StrEnum):
    """The JSON numbers that a text column accepts, by their spelling: `-?[0-9]+`, or a fraction too."""

    WHOLE = "whole"
    DECIMAL = "decimal"


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """An entry of `[events.NAME.plain]`: a column that is stored as the message has it."""

    name: str
    type: PlainType
    path: JsonPath
    required: bool = False
    max: int | None = None
    """Of text: the most code points. None for every other type."""
    numbers: Numbers | None = None
    """Of text: the numbers that it accepts. None: no number."""
    moment: str | None = None
    """Of a day: a second column, which takes the moment of a message that names one. None: no such column."""
    retired: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the value."""
        return (self.name,) if self.moment is None else (self.name, self.moment)


Value = PersonalValue | PlainColumn
"""A value of an event."""


@dataclass(frozen=True, slots=True)
class Discriminator:
    """`when = {path = …, equals = …}`: the event takes the messages whose text at `path` is `equals`."""

    path: JsonPath
    equals: str


@dataclass(frozen=True, slots=True)
class DeclaredEvent:
    """`[events.NAME]`: one table, with the columns of its values.

    Of the events that are not retired, at most one takes a message: the queues of two events differ,
    or their discriminators have one path and different texts.
    """

    name: EventName
    subject: PlainColumn
    """The person, a required text: bound into associated data, and given to `erase` and `subject export`."""
    day: PlainColumn
    """The day of a record. A message without one has the day on which it was sent."""
    personal: tuple[PersonalValue, ...]
    plain: tuple[PlainColumn, ...]
    queue: str | None = None
    """The name of the SQS queue that the messages come from, the last part of its URL. None: any queue."""
    when: Discriminator | None = None
    retired: bool = False

    @property
    def values(self) -> tuple[Value, ...]:
        """All values: required ones first, in each part the plain ones, then the personal ones."""
        values: tuple[Value, ...] = (*self.plain, *self.personal)
        return tuple(sorted(values, key=lambda value: not value.required))

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """The fields of the personal values, each once."""
        return tuple(dict.fromkeys(value.field.name for value in self.personal))

    @property
    def details(self) -> tuple[str, ...]:
        """The plain columns besides the subject, the day and its moment."""
        others = (column for column in self.plain if column not in (self.subject, self.day))
        return tuple(name for column in others for name in column.columns)

    def is_apart_from(self, other: DeclaredEvent) -> bool:
        """Tell whether no message can be of both events."""
        return self.has_other_queue(other) or self.has_other_texts(other)

    def has_other_queue(self, other: DeclaredEvent) -> bool:
        """Tell whether both have a queue, and not the same. A file is of no queue."""
        queues = {self.queue, other.queue}
        return None not in queues and len(queues) > 1

    def has_other_texts(self, other: DeclaredEvent) -> bool:
        """Tell whether the discriminators of both have one path and different texts."""
        if self.when is None or other.when is None:
            return False
        return self.when.path == other.when.path and self.when.equals != other.when.equals


@dataclass(frozen=True, slots=True)
class Declaration:
    """The fields and events of one vault."""

    fields: tuple[VaultField, ...]
    events: tuple[DeclaredEvent, ...]

    @property
    def active_events(self) -> tuple[DeclaredEvent, ...]:
        """The events that take messages: all that are not retired."""
        return tuple(event for event in self.events if not event.retired)

    @property
    def field_names(self) -> tuple[FieldName, ...]:
        """The names of all fields, each of which has token keys and data keys."""
        return tuple(field.name for field in self.fields)

    @property
    def data_fields(self) -> tuple[FieldName, ...]:
        """The fields of data keys: all fields, and the bodies in quarantine."""
        return (*self.field_names, QUARANTINE)

    @property
    def kinds(self) -> Mapping[FieldName, Kind]:
        """The kind of each field."""
        return {field.name: field.kind for field in self.fields}

    @property
    def fields_of_values(self) -> Mapping[EventName, Mapping[str, FieldName]]:
        """The field of each value that has a ciphertext, by table and name: of the events, and of quarantine."""
        return {
            **{
                event.name: {value.name: value.field.name for value in event.personal}
                for event in self.events
            },
            QUARANTINE_TABLE: {QUARANTINE: QUARANTINE},
        }

    def field(self, name: str) -> VaultField:
        """Return the field of this name. Raises KeyError."""
        return {field.name: field for field in self.fields}[FieldName(name)]

    def event(self, name: str) -> DeclaredEvent:
        """Return the event of this name. Raises KeyError."""
        return {event.name: event for event in self.events}[EventName(name)]
