"""Names of the members of a record in outputs: those of its columns, as the declaration has them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vault_etl.crypto.fields import EventName
from vault_etl.declaration.model import Declaration, DeclaredEvent


@dataclass(frozen=True, slots=True)
class RecordNames:
    """The names of the subject, the day and the moment of a record.

    With one event they are the names of its columns, and `moment` is None without such a column. With several events
    they are words that hold for all, and a record has its `event` too.
    """

    subject: str
    day: str
    moment: str | None
    has_event: bool = False

    @classmethod
    def of(cls, declaration: Declaration) -> RecordNames:
        """Return the names for the records of a vault."""
        if len(declaration.events) > 1:
            return cls("subject", "day", "moment", has_event=True)
        (event,) = declaration.events
        return cls(event.subject.name, event.day.name, event.day.moment)

    @property
    def columns(self) -> tuple[str, ...]:
        """The members that say which record it is."""
        return ("record_id", *self.event, self.subject, self.day)

    @property
    def event(self) -> tuple[str, ...]:
        """The member that names the event, if the vault has several."""
        return ("event",) if self.has_event else ()

    def record(
        self, event: EventName, record_id: uuid.UUID, subject: str | None, day: dt.date | None
    ) -> dict[str, object]:
        """Return the members that say which record it is, in the order of `columns`."""
        shown = {"record_id": record_id, "event": event, self.subject: subject, self.day: day}
        return {name: shown[name] for name in self.columns}

    def of_moment(self, moment: dt.datetime | None) -> dict[str, object]:
        """Return the member of the moment of a record, if the records have one."""
        return {} if self.moment is None else {self.moment: moment}


def detail_names(declaration: Declaration) -> tuple[str, ...]:
    """Return the names of the plain columns besides the subject, the day and its moment, each once."""
    return tuple(dict.fromkeys(name for event in declaration.events for name in event.details))


def value_names(events: Iterable[DeclaredEvent], fields: Collection[str]) -> tuple[str, ...]:
    """Return the names of all values of these fields, by field, each once."""
    values = [value for event in events for value in event.personal]
    found = (value.name for field in fields for value in values if value.field.name == field)
    return tuple(dict.fromkeys(found))
