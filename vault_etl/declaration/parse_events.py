"""Parses the events of a declaration, key by key. `declaration.rules` checks them as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.declaration.faults import TableReader
from vault_etl.declaration.json_path import JsonPath
from vault_etl.declaration.model import (
    DeclaredEvent,
    Discriminator,
    Numbers,
    PersonalValue,
    PlainColumn,
    PlainType,
    VaultField,
)
from vault_etl.declaration.names import NAME, NAME_WORDS
from vault_etl.kinds.kind import DerivedForm

_E = TypeVar("_E", bound=StrEnum)

MAX_PLAIN: Final = 8_192
"""The highest `max` of plain text, in code points: at four bytes each, eight such columns fill a body of 256 KiB."""

_QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,75}(?:\.fifo)?|[A-Za-z0-9_-]{76,80}")
"""The names that SQS accepts: 80 characters with the suffix."""

_PATH_WORDS: Final = "a path is $.name or $.client.ip; a name with other characters: $['client-ip']"


class EventReader:
    """Reads events whose values are of these fields. A field is None if it is declared with a fault."""

    def __init__(self, fields: Mapping[str, VaultField | None]) -> None:
        self._fields = fields

    def read(self, name: str, table: TableReader) -> DeclaredEvent | None:
        """Return the event; None if its subject or its day is not one of its plain columns."""
        subject = table.need("subject", str, "name the plain column that has the person's id")
        day = table.need("day", str, "name a plain column of the type day")
        queue = table.get("queue", str)
        if queue is not None and not _QUEUE.fullmatch(queue):
            hint = "the last part of the queue's URL, such as login-events"
            table.fault("queue", f"{queue} is not the name of an SQS queue", hint)
        when = _when(table)
        retired = table.get("retired", bool) or False
        personal, plain = table.table("personal"), table.table("plain")
        table.finish()
        values = [
            value
            for each, entry in personal.named_tables()
            if (value := self._personal(each, entry)) is not None
        ]
        columns = {each: _plain(each, entry) for each, entry in plain.named_tables()}
        found = {}
        for key, column in (("subject", subject), ("day", day)):
            if column is not None and column not in columns:
                hint = f"declare it under [{'.'.join(plain.where)}]"
                table.fault(key, f"the {key} {column} is not a plain column of the event", hint)
            found[key] = columns.get(column or "")
        if found["subject"] is None or found["day"] is None:
            return None
        return DeclaredEvent(
            EventName(name),
            subject=found["subject"],
            day=found["day"],
            personal=tuple(values),
            plain=tuple(column for column in columns.values() if column is not None),
            queue=queue,
            when=when,
            retired=retired,
        )

    def _personal(self, name: str, table: TableReader) -> PersonalValue | None:
        """Return the personal value; None if its field has a fault."""
        given = table.get("field", str)
        of = name if given is None else given
        path = _path(table, "path", name)
        token = table.get("token", str)
        if token is not None and not NAME.fullmatch(token):
            table.fault("token", f"{token} is not a name", f"a name has {NAME_WORDS}")
        required, retired = _flags(table)
        forms = table.get("derived", list) or []
        table.finish()
        if of not in self._fields:
            hint = f"the fields are {', '.join(self._fields)}" if self._fields else "declare one"
            table.fault("field", f"there is no field {of}", hint)
        field = self._fields.get(of)
        if field is None:
            return None
        derived = tuple(_derived(table, field, forms))
        return PersonalValue(
            FieldName(name), field, path, token or f"masked_{name}", required, derived, retired
        )


def _derived(table: TableReader, field: VaultField, forms: list[object]) -> Iterator[DerivedForm]:
    """Return the forms of the kind that the value lists, in the order of the kind."""
    by_name = {form.name: form for form in field.kind.derived}
    known = f"its derived forms are {', '.join(by_name)}" if by_name else "it has none"
    for form in forms:
        if not isinstance(form, str) or form not in by_name:
            table.fault("derived", f"the kind {field.kind.name} has no derived form {form}", known)
    if len(set(map(str, forms))) < len(forms):
        table.fault("derived", "a derived form is listed twice", known)
    yield from (form for name, form in by_name.items() if name in forms)


def _plain(name: str, table: TableReader) -> PlainColumn | None:
    """Return the plain column; None if its type has a fault."""
    type_ = _word(table, "type", PlainType, is_needed=True)
    path = _path(table, "path", name)
    required, retired = _flags(table)
    longest, numbers, moment = None, None, None
    if type_ is PlainType.TEXT:
        longest = table.need("max", int, "the most characters of the text: max = 64")
        if longest is not None and not 1 <= longest <= MAX_PLAIN:
            table.fault("max", f"max must be from 1 to {MAX_PLAIN}")
        numbers = _word(table, "numbers", Numbers)
    if type_ is PlainType.DAY:
        moment = table.get("moment", str)
        if moment is not None and not NAME.fullmatch(moment):
            table.fault("moment", f"{moment} is not a name", f"a name has {NAME_WORDS}")
    if type_ is None:
        return None
    table.finish()
    return PlainColumn(name, type_, path, required, longest, numbers, moment, retired)


def _flags(table: TableReader) -> tuple[bool, bool]:
    """Return `required` and `retired`."""
    return table.get("required", bool) or False, table.get("retired", bool) or False


def _path(table: TableReader, key: str, name: str) -> JsonPath:
    """Return the path; without one, that of the name at the top of a message."""
    text = table.get(key, str)
    if text is not None:
        try:
            return JsonPath.parse(text)
        except ValueError:
            table.fault(key, f"{text} is not a path to one value", _PATH_WORDS)
    return JsonPath((name,))


def _when(table: TableReader) -> Discriminator | None:
    if table.take("when") is None:
        return None
    when = table.table("when")
    example = 'when = {path = "$.type", equals = "login"}'
    has_path = when.need("path", str, example)
    equals = when.need("equals", str, example)
    when.finish()
    if has_path is None or equals is None:
        return None
    return Discriminator(_path(when, "path", "type"), equals)


def _word(table: TableReader, key: str, words: type[_E], *, is_needed: bool = False) -> _E | None:
    listed = f"one of {', '.join(words)}"
    text = table.need(key, str, listed) if is_needed else table.get(key, str)
    if text is None:
        return None
    if text not in set(words):
        table.fault(key, f"{text} is not a {key} of a plain column", listed)
        return None
    return words(text)
