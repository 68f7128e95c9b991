"""Parse a message body into a declared event, or into the reason why it is not one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from vault_etl.declaration.json_path import JsonPath
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

    def __init__(
        self,
        declaration: Declaration,
        queue: str | None = None,
        *,
        event: str | None = None,
        of_lines: bool = False,
    ) -> None:
        """With `event`, take messages of this event alone.

        `of_lines`: a caller says that the messages are lines of these events, and no queue does. A message with a
        value that is personal in another event alone is rejected then, since it may be of that event.
        """
        self.queue = queue
        events = [
            one
            for one in declaration.active_events
            if (queue is None or one.queue in (None, queue)) and event in (None, one.name)
        ]
        self._elsewhere = _personal_elsewhere(declaration, events) if of_lines else ()
        self._events = [(event, EventValues(event)) for event in events]
        self._takes_all = len(events) == 1 and events[0].when is None
        self._names = frozenset[str]().union(*(values.names for _, values in self._events))
        self._own_names = self._names - ENVELOPE_NAMES

    @classmethod
    def of_quarantined(
        cls, declaration: Declaration, queue: str | None, *, of_line: bool
    ) -> EventParser:
        """Return the parser of bodies that came from this queue; as those of a file, if no event takes its messages.

        `of_line`: the body is a line of a file that was said to be of the event of this queue.
        """
        parser = cls(declaration, queue, of_lines=of_line and queue is not None)
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
            values = self._values_of(message)
            for path in self._elsewhere:
                if path.find(message) not in (None, ""):
                    raise RejectedError(Reason.NO_EVENT, str(path))  # noqa: TRY301
            return values.read(message)
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


def _personal_elsewhere(
    declaration: Declaration, events: Sequence[DeclaredEvent]
) -> tuple[JsonPath, ...]:
    """Return the paths that are personal in events which content does not tell apart from these, and not in these."""
    own = [value.path for event in events for value in event.personal]
    others = [
        other
        for other in declaration.events
        if other not in events and not any(map(other.has_other_texts, events))
    ]
    paths = (value.path for other in others for value in other.personal)
    return tuple(path for path in paths if not any(map(path.is_within, own)))


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
