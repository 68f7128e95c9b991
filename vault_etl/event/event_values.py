"""The values of one declared event, read from a JSON object, or the first rule that a value breaks."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.json_path import JsonPath
from vault_etl.declaration.model import (
    DeclaredEvent,
    Numbers,
    PersonalValue,
    PlainColumn,
    PlainType,
    Value,
)
from vault_etl.event.dates import event_date
from vault_etl.event.extra_fields import shown_names
from vault_etl.event.json_body import MAX_BODY_BYTES
from vault_etl.event.parsed_event import ParsedEvent, PlainValue
from vault_etl.event.rejection import Reason, RejectedError
from vault_etl.kinds.blank import is_blank
from vault_etl.kinds.kind import WHOLE_NUMBER

Message = Mapping[str, object]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NUMBERS: Final[Mapping[Numbers, re.Pattern[bytes]]] = {
    Numbers.WHOLE: WHOLE_NUMBER,
    Numbers.DECIMAL: re.compile(rb"-?[0-9]+(\.[0-9]+)?"),
}
"""The JSON numbers that a text accepts, by their spelling. A whole number has one spelling, so 4711 and
"4711" are one device. 4711.0 and 4.711e3 are other spellings, and a number with an exponent has often
lost digits. A version is compared by its spelling: 1.10 is not 1.1."""

_DECIMAL: Final = re.compile(rb"-?[0-9]+(\.[0-9]+)?([Ee][+-]?[0-9]{1,2})?")
_INTEGERS: Final = range(-(2**63), 2**63)
_MAX_SPELLING: Final = 64
"""Characters of a number in a column of numbers: Postgres keeps them all."""

_DAYS: Final = (PlainType.DAY, PlainType.MOMENT)


class _Read(NamedTuple):
    """The first rule of a value: its place, and what turns it into text. `find` is None for a name at the top.

    `read` would return ASCII of up to `longest` code points as it is, if it has no controls and does not begin with a
    blank.
    """

    name: str
    top: str
    find: Callable[[Message], object] | None
    path: JsonPath
    required: bool
    longest: int
    read: Callable[[object], PlainValue | None]


class _Accept(NamedTuple):
    """The rule of the kind of a personal value."""

    name: FieldName
    path: str
    longest: int
    read: Callable[[str], tuple[str, bytes]]
    reason: Reason
    reason_too_long: Reason


class EventValues:
    """Reads the values of one event. Its rules are made once, since they run for each message."""

    def __init__(self, event: DeclaredEvent) -> None:
        self._event = event
        values = [value for value in event.values if not value.retired]
        self._reads = [
            _Read(
                value.name,
                value.path.names[0],
                value.path.find if len(value.path.names) > 1 else None,
                value.path,
                value.required,
                _longest(value),
                _reader(value),
            )
            for value in values
        ]
        self._accepts = [_accept(value) for value in event.personal if not value.retired]
        self._days = [
            (column.name, _day_reader(column))
            for column in event.plain
            if not column.retired and column.type in _DAYS
        ]
        self._subject, self._day = event.subject.name, event.day.name
        paths = [value.path for value in event.values] + ([event.when.path] if event.when else [])
        self.names = frozenset(path.names[0] for path in paths)
        """The names at the top of a message that the event knows, those of retired values too."""

    def read(self, message: Message) -> ParsedEvent:
        """Return the event. Raises RejectedError for the first fault.

        Required values are read first, then optional ones; then the kinds of personal values decide, then the rules
        of days.
        """
        plain = self._values_of(message)
        personal: dict[FieldName, Pii] = {}
        forms: dict[FieldName, Pii] = {}
        for accept in self._accepts:
            name = accept.name
            if name in plain:
                personal[name], forms[name] = _accepted(accept, str(plain.pop(name)))
        day = None
        for column, read_day in self._days:
            if column in plain:
                named_day = read_day(str(plain[column]), plain)
                if column == self._day:
                    day = named_day
        names, known = message.keys(), self.names
        extra = () if names <= known else shown_names(names - known)
        subject = str(plain[self._subject])
        return ParsedEvent(self._event, subject, day, personal, forms, plain, extra)

    def _values_of(self, message: Message) -> dict[str, PlainValue]:
        """Return the text of each value by its name, personal ones too."""
        plain: dict[str, PlainValue] = {}
        for name, top, find, path, required, longest, read in self._reads:
            value = message.get(top) if find is None else find(message)
            if (
                type(value) is str
                and len(value) <= longest
                and value >= "!"
                and value.isascii()
                and value.isprintable()
            ):
                plain[name] = value
            elif value is not None:
                text = read(value)
                if text is not None:
                    plain[name] = text
            elif required:
                raise RejectedError(_absence(message, path.names), str(path))
        return plain


def _absence(message: object, names: Sequence[str]) -> Reason:
    """Tell a null from a value that is missing, as is each value within one that is no object."""
    for name in names:
        if not isinstance(message, dict) or name not in message:
            return Reason.FIELD_MISSING
        message = message[name]
    return Reason.FIELD_NULL


def _day_reader(column: PlainColumn) -> Callable[[str, dict[str, PlainValue]], dt.date]:
    """Make the function that puts a day or moment into its columns, and returns the day."""
    name, path, is_day = column.name, str(column.path), column.type is PlainType.DAY

    def read(text: str, plain: dict[str, PlainValue]) -> dt.date:
        day, moment = event_date(text, path)
        if is_day:
            plain[name] = day
        elif moment is None:
            raise RejectedError(Reason.NOT_A_DATE, path)
        else:
            plain[name] = moment
        if column.moment is not None and moment is not None:
            plain[column.moment] = moment
        return day

    return read


def _longest(value: Value) -> int:
    """Return the most code points of a text; -1 for a value that is no text."""
    if isinstance(value, PersonalValue):
        return _own_limit(value) or MAX_BODY_BYTES
    return -1 if value.max is None else value.max


def _own_limit(value: PersonalValue) -> int | None:
    """Return the limit of a personal text; None if its kind has a reason of its own for longer ones."""
    kind = value.field.kind
    has_own_reason = kind.reason_too_long != Reason.FIELD_TOO_LONG
    return None if has_own_reason else kind.max_code_points


def _reader(value: Value) -> Callable[[object], PlainValue | None]:
    path = str(value.path)
    if isinstance(value, PersonalValue):
        numbers = value.field.kind.numbers
        read = _text_reader(path, _own_limit(value), numbers, is_required=value.required)
        return read if value.required else _without_blanks(read)
    if value.type is PlainType.INTEGER:
        return _number_reader(path, WHOLE_NUMBER, _INTEGERS)
    if value.type is PlainType.DECIMAL:
        return _number_reader(path, _DECIMAL)
    if value.type is PlainType.BOOLEAN:
        return _boolean_reader(path)
    numbers = None if value.numbers is None else _NUMBERS[value.numbers]
    return _text_reader(path, value.max, numbers, is_required=value.required)


def _text_reader(
    path: str, longest: int | None, numbers: re.Pattern[bytes] | None, *, is_required: bool
) -> Callable[[object], str]:
    def read(value: object) -> str:
        if isinstance(value, str):
            text = value
        elif numbers is not None and isinstance(value, bytes) and numbers.fullmatch(value):
            text = value.decode("ascii")
        else:
            raise RejectedError(Reason.FIELD_NOT_TEXT, path)
        if longest is not None and len(text) > longest:
            raise RejectedError(Reason.FIELD_TOO_LONG, path)
        if "\x00" in text or (not text.isascii() and _SURROGATE.search(text)):
            raise RejectedError(Reason.FIELD_NOT_STORABLE, path)
        if is_required and is_blank(text):
            raise RejectedError(Reason.FIELD_EMPTY, path)
        return text

    return read


def _without_blanks(read: Callable[[object], str]) -> Callable[[object], str | None]:
    """Read blank text as no value: programs write "" for a value that they do not know."""

    def read_shown(value: object) -> str | None:
        text = read(value)
        return None if is_blank(text) else text

    return read_shown


def _number_reader(
    path: str, spelling: re.Pattern[bytes], within: range | None = None
) -> Callable[[object], str]:
    """Read a number, or the text of one, since the cells of CSV are texts."""

    def read(value: object) -> str:
        number = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        if (
            not isinstance(number, bytes)
            or len(number) > _MAX_SPELLING
            or not spelling.fullmatch(number)
            or (within is not None and int(number) not in within)
        ):
            raise RejectedError(Reason.NOT_A_NUMBER, path)
        return number.decode("ascii")

    return read


def _boolean_reader(path: str) -> Callable[[object], bool]:
    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise RejectedError(Reason.NOT_A_BOOLEAN, path)
        return value == "true"

    return read


def _accept(value: PersonalValue) -> _Accept:
    kind, path = value.field.kind, str(value.path)
    reason, reason_too_long = Reason(kind.reason), Reason(kind.reason_too_long)
    return _Accept(value.name, path, kind.max_code_points, kind.read, reason, reason_too_long)


def _accepted(accept: _Accept, text: str) -> tuple[Pii, Pii]:
    """Return the value as it is sealed, and its canonical form."""
    if len(text) > accept.longest:
        raise RejectedError(accept.reason_too_long, accept.path)
    try:
        sealed, form = accept.read(text)
    except ValueError:
        raise RejectedError(accept.reason, accept.path) from None
    return Pii(sealed.encode()), Pii(form)
