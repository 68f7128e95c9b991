"""Parse a message body into a login event, or into the reason why it is not one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeGuard

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import DEVICE_ID, IP, FieldName
from vault_etl.event.envelopes import inside, text_of_base64
from vault_etl.event.extra_fields import shown_names
from vault_etl.event.field_kinds import KINDS
from vault_etl.event.json_body import MAX_BODY_BYTES, MAX_NESTING, json_value
from vault_etl.event.rejection import Reason, RejectedError, Rejection
from vault_etl.kinds.blank import is_blank
from vault_etl.kinds.kind import WHOLE_NUMBER

__all__ = [
    "KNOWN",
    "MAX_BODY_BYTES",
    "MAX_CODE_POINTS",
    "MAX_ENVELOPES",
    "MAX_NESTING",
    "REQUIRED",
    "LoginEvent",
    "Reason",
    "Rejection",
    "parse_event",
    "without_extra_fields",
]

MAX_CODE_POINTS: Final[Mapping[str, int]] = {
    "user_id": 128,
    "device_type": 32,
    "locale": 32,
    "app_version": 32,
    **{
        field: kind.max_code_points
        for field, kind in KINDS.items()
        if kind.reason_too_long == Reason.FIELD_TOO_LONG
    },
}
"""The limits that hold before all other rules. A kind with a reason of its own checks its limit itself."""

MAX_ENVELOPES: Final = 4
"""The most envelopes around an event, such as SNS in SNS. A sender must not choose how often we parse."""

REQUIRED: Final = ("user_id", "device_type", "ip", "device_id")
_OPTIONAL: Final = ("locale", "app_version", "create_date")
KNOWN: Final = frozenset((*REQUIRED, *_OPTIONAL))

_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_DECIMAL: Final = re.compile(rb"-?[0-9]+(\.[0-9]+)?")

_NUMBERS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "user_id": WHOLE_NUMBER,
    "device_type": WHOLE_NUMBER,
    "locale": WHOLE_NUMBER,
    "app_version": _DECIMAL,
    **{field: kind.numbers for field, kind in KINDS.items() if kind.numbers},
}
"""The JSON numbers that a text field accepts, by their spelling. A whole number has one spelling, so 4711
and "4711" are one device. 4711.0 and 4.711e3 are other spellings, and a number with an exponent has often
lost digits. A version is compared by its spelling: 1.10 is not 1.1."""


@dataclass(frozen=True, slots=True)
class LoginEvent:
    """One login. `extra_fields` are the names of the dropped unknown fields, in the form that may be shown."""

    user_id: str
    device_type: str
    ip: Pii
    device_id: Pii
    locale: str | None
    app_version: str | None
    create_date: dt.date | None
    event_time: dt.datetime | None
    extra_fields: tuple[str, ...]


def parse_event(body: bytes) -> LoginEvent | Rejection:
    """Parse one message body, or the one event in its envelopes.

    Raises nothing. A rejection holds no value of the body.
    """
    try:
        value = _value(body)
        return _event(value if _may_be_event(value) else _unwrapped(value))
    except RejectedError as rejected:
        return rejected.rejection


def without_extra_fields(content: LoginEvent | Rejection) -> LoginEvent | Rejection:
    """Reject an event that has unknown fields: the rule of strict mode."""
    if isinstance(content, LoginEvent) and content.extra_fields:
        return Rejection(Reason.UNKNOWN_FIELD)
    return content


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


def _may_be_event(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether the value has a field of ours. Such a value is not an envelope, whatever else it holds."""
    return isinstance(value, dict) and not KNOWN.isdisjoint(value)


def _unwrapped(value: object) -> Mapping[str, object]:
    """Return the object in the envelopes, or the object itself if it is neither an event nor an envelope."""
    for layers in range(MAX_ENVELOPES + 1):
        inner = None if _may_be_event(value) else inside(value)
        if inner is None:
            break
        if layers == MAX_ENVELOPES:
            raise RejectedError(Reason.NESTED_TOO_DEEP)
        value = (
            inner if not isinstance(inner, str) else _value(inner.encode("utf-8", "surrogatepass"))
        )
    if not isinstance(value, dict):
        raise RejectedError(Reason.NOT_AN_OBJECT)
    return value


def _event(fields: Mapping[str, object]) -> LoginEvent:
    texts = {name: _required(fields, name) for name in REQUIRED}
    options = {name: _optional(fields, name) for name in _OPTIONAL}
    ip, device_id = _personal(texts, IP), _personal(texts, DEVICE_ID)
    date = options["create_date"]
    create_date, event_time = (None, None) if date is None else event_date(date)
    extra = fields.keys() - KNOWN
    return LoginEvent(
        user_id=texts["user_id"],
        device_type=texts["device_type"],
        ip=ip,
        device_id=device_id,
        locale=options["locale"],
        app_version=options["app_version"],
        create_date=create_date,
        event_time=event_time,
        extra_fields=shown_names(extra) if extra else (),
    )


def _required(fields: Mapping[str, object], name: str) -> str:
    if name not in fields:
        raise RejectedError(Reason.FIELD_MISSING, name)
    if fields[name] is None:
        raise RejectedError(Reason.FIELD_NULL, name)
    text = _text(fields[name], name)
    if is_blank(text):
        raise RejectedError(Reason.FIELD_EMPTY, name)
    return text


def _optional(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else _text(value, name)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        value = _spelling(value, name)
    if name in MAX_CODE_POINTS and len(value) > MAX_CODE_POINTS[name]:
        raise RejectedError(Reason.FIELD_TOO_LONG, name)
    if _NOT_STORABLE.search(value):
        raise RejectedError(Reason.FIELD_NOT_STORABLE, name)
    return value


def _spelling(value: object, name: str) -> str:
    """Return the spelling of a number, if the field accepts numbers."""
    spellings = _NUMBERS.get(name)
    if spellings is None or not isinstance(value, bytes) or not spellings.fullmatch(value):
        raise RejectedError(Reason.FIELD_NOT_TEXT, name)
    return value.decode("ascii")


def _personal(texts: Mapping[str, str], field: FieldName) -> Pii:
    kind, text = KINDS[field], texts[field]
    if len(text) > kind.max_code_points:
        raise RejectedError(Reason(kind.reason_too_long), field)
    try:
        return Pii.of_text(kind.accept(text))
    except ValueError:
        raise RejectedError(Reason(kind.reason), field) from None


_FIELD: Final = "create_date"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?"
)
"""A subset of RFC 3339 and ISO 8601 in which every text has one meaning. The pattern is written out because
the forms that `datetime.fromisoformat` accepts change between versions of Python."""


def event_date(text: str) -> tuple[dt.date, dt.datetime | None]:
    """Return the day in UTC, and the time in UTC to the microsecond: None for a day alone.

    Further digits are cut off. Raises RejectedError for every other form, for a day that does not exist,
    and for a time without a zone: a guess of the zone would be stored as a fact.
    """
    try:
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text), None
        parts = _MOMENT.fullmatch(text)
        if parts is None:
            raise RejectedError(Reason.NOT_A_DATE, _FIELD)
        local = dt.datetime.combine(dt.date.fromisoformat(parts["day"]), _time(parts))
        if parts["zone"] is None:
            raise RejectedError(Reason.TIME_WITHOUT_ZONE, _FIELD)
        moment = (local - _offset(parts)).replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise RejectedError(Reason.NOT_A_DATE, _FIELD) from None
    return moment.date(), moment


def _time(parts: re.Match[str]) -> dt.time:
    microseconds = (parts["fraction"] or "")[:6].ljust(6, "0")
    return dt.time(
        int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0), int(microseconds)
    )


def _offset(parts: re.Match[str]) -> dt.timedelta:
    """Return how far the zone is ahead of UTC."""
    ahead = dt.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    return -ahead if parts["sign"] == "-" else ahead
