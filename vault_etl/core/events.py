"""From a message body to a login event, or to the reason why it cannot be one."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from vault_etl.core.blank import is_blank
from vault_etl.core.canonical import canonical_device_id, canonical_ip
from vault_etl.core.pii import Pii
from vault_etl.core.sns_envelope import message_in_envelope

MAX_BODY_BYTES: Final = 256 * 1024
"""No login event is near it; a body of 1 MiB, SQS's own limit, is quarantined. An envelope counts."""

MAX_NESTING: Final = 64
"""Far below the interpreter's recursion limit, so that every process decides alike."""

MAX_CODE_POINTS: Final = {
    "user_id": 128,
    "device_type": 32,
    "locale": 32,
    "app_version": 32,
    "device_id": 256,
}

MAX_ADDRESS_CODE_POINTS: Final = 64
"""The longest IPv6 address has 45; the rest is for spaces around it."""

_REQUIRED: Final = ("user_id", "device_type", "ip", "device_id")
_OPTIONAL: Final = ("locale", "app_version", "create_date")
_KNOWN: Final = frozenset((*_REQUIRED, *_OPTIONAL))

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Possessive, and content without an end: else a string that never ends is tried from each of its
quotes, and 256 KiB of them take minutes."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class Reason(StrEnum):
    """Why a message cannot be a record: the `reason_code` of its quarantine row."""

    BODY_TOO_LARGE = "body_too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NESTED_TOO_DEEP = "nested_too_deep"
    NOT_AN_OBJECT = "not_an_object"
    FIELD_TWICE = "field_twice"
    FIELD_MISSING = "field_missing"
    FIELD_NULL = "field_null"
    FIELD_NOT_TEXT = "field_not_text"
    FIELD_EMPTY = "field_empty"
    FIELD_TOO_LONG = "field_too_long"
    FIELD_NOT_STORABLE = "field_not_storable"
    NOT_AN_ADDRESS = "not_an_address"
    NOT_A_DATE = "not_a_date"
    SENT_OUT_OF_RANGE = "sent_out_of_range"
    REFUSED_BY_DATABASE = "refused_by_database"


@dataclass(frozen=True, slots=True)
class LoginEvent:
    """One login. `extra_fields` counts the unknown fields that were dropped."""

    user_id: str
    device_type: str
    ip: Pii
    device_id: Pii
    locale: str | None
    app_version: str | None
    create_date: dt.date | None
    extra_fields: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a body is no login event, and where: a JSONPath such as `$.ip`, never the value."""

    reason: Reason
    path: str = "$"


def parse_event(body: bytes) -> LoginEvent | Rejection:
    """Read one message body, or the message in its SNS envelope.

    Never raises, and never keeps a value in what it rejects with.
    """
    try:
        fields = _object(body)
        inner = message_in_envelope(fields) if _KNOWN.isdisjoint(fields) else None
        return _event(fields if inner is None else _object(inner))
    except _RejectedError as rejected:
        return rejected.rejection


class _RejectedError(Exception):
    """Carries a rejection out of the depths of the parser."""

    def __init__(self, reason: Reason, field: str | None = None) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, f"$.{field}" if field else "$")


def _object(body: bytes) -> Mapping[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise _RejectedError(Reason.BODY_TOO_LARGE)
    if _nesting(body) > MAX_NESTING:
        raise _RejectedError(Reason.NESTED_TOO_DEEP)
    try:
        parsed = json.loads(
            body.decode(),
            object_pairs_hook=_without_twins,
            parse_int=float,  # no field of ours is a number, and int() refuses 4,301 digits
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise _RejectedError(Reason.NOT_UTF8) from None
    except ValueError:
        raise _RejectedError(Reason.NOT_JSON) from None
    if not isinstance(parsed, dict):
        raise _RejectedError(Reason.NOT_AN_OBJECT)
    return parsed


def _nesting(body: bytes) -> int:
    """An upper bound of the depth, exact where the cheap one is over the limit."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_NESTING:
        return brackets
    depth = deepest = 0
    for byte in _STRING.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """RFC 8259 leaves a name that stands twice to each parser: then nobody knows whose it is."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _RejectedError(Reason.FIELD_TWICE)
    return fields


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _event(fields: Mapping[str, object]) -> LoginEvent:
    texts = {name: _required(fields, name) for name in _REQUIRED}
    options = {name: _optional(fields, name) for name in _OPTIONAL}
    return LoginEvent(
        user_id=texts["user_id"],
        device_type=texts["device_type"],
        ip=_address(texts["ip"]),
        device_id=_device_id(texts["device_id"]),
        locale=options["locale"],
        app_version=options["app_version"],
        create_date=_date(options["create_date"]),
        extra_fields=len(fields.keys() - _KNOWN),
    )


def _required(fields: Mapping[str, object], name: str) -> str:
    if name not in fields:
        raise _RejectedError(Reason.FIELD_MISSING, name)
    if fields[name] is None:
        raise _RejectedError(Reason.FIELD_NULL, name)
    text = _text(fields[name], name)
    if is_blank(text):
        raise _RejectedError(Reason.FIELD_EMPTY, name)
    return text


def _optional(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else _text(value, name)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _RejectedError(Reason.FIELD_NOT_TEXT, name)
    if name in MAX_CODE_POINTS and len(value) > MAX_CODE_POINTS[name]:
        raise _RejectedError(Reason.FIELD_TOO_LONG, name)
    if _NOT_STORABLE.search(value):
        raise _RejectedError(Reason.FIELD_NOT_STORABLE, name)
    return value


def _address(text: str) -> Pii:
    if len(text) > MAX_ADDRESS_CODE_POINTS:
        raise _RejectedError(Reason.NOT_AN_ADDRESS, "ip")
    try:
        canonical_ip(text)
    except ValueError:
        raise _RejectedError(Reason.NOT_AN_ADDRESS, "ip") from None
    return Pii.of_text(text)


def _device_id(text: str) -> Pii:
    try:
        canonical_device_id(text)
    except ValueError:
        raise _RejectedError(Reason.FIELD_EMPTY, "device_id") from None
    return Pii.of_text(text)


def _date(text: str | None) -> dt.date | None:
    if text is None:
        return None
    if not _DATE.fullmatch(text):
        raise _RejectedError(Reason.NOT_A_DATE, "create_date")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise _RejectedError(Reason.NOT_A_DATE, "create_date") from None
