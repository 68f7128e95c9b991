"""Parse a message body into a declared event, or into the reason why it is not one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.event.envelopes import NAMES as ENVELOPE_NAMES
from vault_etl.event.envelopes import inside, text_of_base64
from vault_etl.event.event_values import EventValues
from vault_etl.event.json_body import json_value
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, RejectedError, Rejection

MAX_ENVELOPES: Final = 4
"""The most envelopes around an event, such as SNS in SNS. A sender must not choose how often we parse."""


class EventParser:
    """Parses messages of the events of one declaration.

    `queue` is the name of the queue that the messages come from. None for a file: the queues of events do not tell
    their messages apart then, discriminators alone do.
    """

    def __init__(self, declaration: Declaration, queue: str | None = None) -> None:
        self.queue = queue
        events = [
            event
            for event in declaration.events
            if not event.retired and (queue is None or event.queue in (None, queue))
        ]
        self._events = [(event, EventValues(event)) for event in events]
        self._takes_all = len(events) == 1 and events[0].when is None
        self._names = frozenset[str]().union(*(values.names for _, values in self._events))
        self._own_names = self._names - ENVELOPE_NAMES

    @classmethod
    def of_quarantined(cls, declaration: Declaration, queue: str | None) -> EventParser:
        """Return the parser of bodies that came from this queue; as those of a file, if no event takes its messages."""
        parser = cls(declaration, queue)
        return parser if parser.events else cls(declaration)

    @property
    def events(self) -> Sequence[DeclaredEvent]:
        """The events that take messages of this queue."""
        return [event for event, _ in self._events]

    def parse(self, body: bytes) -> ParsedEvent | Rejection:
        """Parse one message body, or the one event in its envelopes.

        Raises nothing. A rejection holds no value of the body.
        """
        try:
            value = _value(body)
            message = value if self._may_be_event(value) else self._unwrapped(value)
            return self._values_of(message).read(message)
        except RejectedError as rejected:
            return rejected.rejection

    def _values_of(self, message: Mapping[str, object]) -> EventValues:
        """Return the values of the event that takes the message. Two events take it if their queues alone differ."""
        if self._takes_all:
            return self._events[0][1]
        taking = [values for event, values in self._events if _takes(event, message)]
        if len(taking) != 1:
            raise RejectedError(Reason.NO_EVENT)
        return taking[0]

    def _may_be_event(self, value: object) -> TypeGuard[dict[str, object]]:
        """Tell whether the value is an event of ours, and so no envelope, whatever else it holds.

        Names that envelopes have too, such as `type`, do not tell, unless they are the discriminator of an event.
        """
        if not isinstance(value, dict):
            return False
        return not self._own_names.isdisjoint(value) or any(
            event.when is not None and _takes(event, value) for event, _ in self._events
        )

    def _unwrapped(self, value: object) -> Mapping[str, object]:
        """Return the object in the envelopes, or the object itself if it is neither an event nor an envelope."""
        for layers in range(MAX_ENVELOPES + 1):
            inner = None if self._may_be_event(value) else inside(value)
            if inner is None:
                break
            if layers == MAX_ENVELOPES:
                raise RejectedError(Reason.NESTED_TOO_DEEP)
            value = (
                inner
                if not isinstance(inner, str)
                else _value(inner.encode("utf-8", "surrogatepass"))
            )
        if not isinstance(value, dict):
            raise RejectedError(Reason.NOT_AN_OBJECT)
        return value


def without_extra_fields(content: ParsedEvent | Rejection) -> ParsedEvent | Rejection:
    """Reject an event that has unknown fields: the rule of strict mode."""
    if isinstance(content, ParsedEvent) and content.extra_fields:
        return Rejection(Reason.UNKNOWN_FIELD)
    return content


def _takes(event: DeclaredEvent, message: Mapping[str, object]) -> bool:
    return event.when is None or event.when.path.find(message) == event.when.equals


def _value(body: bytes) -> object:
    """Return the JSON value. For the base64 of an object or an array, return its text."""
    try:
        return json_value(body)
    except RejectedError as rejected:
        if rejected.rejection.reason is Reason.NOT_JSON:
            text = text_of_base64(body.decode())
            if text is not None:
                return text
        raise
