"""Seal the events and the rejected messages of a batch into rows."""

from __future__ import annotations

import collections
import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.record_id import milliseconds_of
from vault_etl.crypto.sealing import Sealer, new_nonces
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Rejection
from vault_etl.records.messages import Parsed, SealedRecord, SealedRejection


class RecordSealer:
    """Seals the events of one batch into rows, in one thread.

    Each personal value gets a token, one for each derived form, the same again while a generation is pending, and a
    ciphertext. What the records of an event share is made once.
    """

    def __init__(
        self, sealer: Sealer, tokenizer: Tokenizer, next_tokenizer: Tokenizer | None
    ) -> None:
        self._sealer = sealer
        self._tokenizer = tokenizer
        self._next_tokenizer = next_tokenizer
        self._generation = tokenizer.generation
        self._next_generation = next_tokenizer.generation if next_tokenizer else None
        self._nonces = new_nonces()
        self._values: dict[EventName, dict[FieldName, _Value]] = {}

    def seal(
        self, record_id: uuid.UUID, event: ParsedEvent, receive_count: int = 1
    ) -> SealedRecord:
        """Seal one event. Its day is that of the record id, if the event names none.

        Raises KeyError without a data key of each of its fields.
        """
        declared, forms = event.event, event.forms
        values = self._values.get(declared.name) or self._values.setdefault(declared.name, {})
        id_bytes, subject = record_id.bytes, lp(event.subject)
        tokens: dict[FieldName, uuid.UUID] = {}
        next_tokens: dict[FieldName, uuid.UUID] | None = {} if self._next_tokenizer else None
        ciphertexts: dict[FieldName, bytes] = {}
        for name, text in event.personal.items():
            value = values.get(name) or values.setdefault(name, self._value(declared, name))
            ciphertexts[name] = value.seal(text, id_bytes, subject)
            tokens[name] = value.tokenizer.token_of_form(forms[name])
            for derived_name, derived in value.derived:
                tokens[derived_name] = value.tokenizer.token(text, derived)
            if next_tokens is not None and value.next_tokenizer is not None:
                next_tokens[name] = value.next_tokenizer.token_of_form(forms[name])
                for derived_name, derived in value.derived:
                    next_tokens[derived_name] = value.next_tokenizer.token(text, derived)
        plain = event.plain
        if event.day is None:
            plain = {**plain, declared.day.name: day_of(record_id)}
        return SealedRecord(
            declared.name,
            record_id,
            event.subject,
            tokens,
            next_tokens,
            ciphertexts,
            self._generation,
            self._next_generation,
            plain,
            receive_count,
        )

    def _value(self, event: DeclaredEvent, name: FieldName) -> _Value:
        declared = next(value for value in event.personal if value.name == name)
        field, pending = declared.field.name, self._next_tokenizer
        return _Value(
            self._sealer.of_value(event.name, name, field, self._nonces).seal,
            self._tokenizer.field(field),
            None if pending is None else pending.field(field),
            declared.token_names[1:],
        )


class _Value(NamedTuple):
    """A personal value of an event: what makes its ciphertext and its tokens, and its derived forms by name."""

    seal: Callable[[Pii, bytes, bytes], bytes]
    tokenizer: FieldTokenizer
    next_tokenizer: FieldTokenizer | None
    derived: tuple[tuple[FieldName, str | None], ...]


def seals_of(events: Iterable[ParsedEvent]) -> Mapping[FieldName, int]:
    """Count the values of these events by their fields, in the order of the declaration."""
    declared = dict[EventName, DeclaredEvent]()
    shapes = collections.Counter[tuple[EventName, tuple[FieldName, ...]]]()
    for event in events:
        declared[event.event.name] = event.event
        shapes[event.event.name, tuple(event.personal)] += 1
    counts = collections.Counter[FieldName]()
    for (name, values), events_of_shape in shapes.items():
        fields = {value.name: value.field.name for value in declared[name].personal}
        for value in values:
            counts[fields[value]] += events_of_shape
    return counts


def seal_rejection(
    parsed: Parsed, rejection: Rejection, sealer: Sealer, queue: str | None = None
) -> SealedRejection:
    """Seal a rejected message into a quarantine row. The body is sealed like a personal field."""
    return SealedRejection(
        record_id=parsed.record_id,
        reason=rejection.reason,
        path=rejection.path,
        body_ciphertext=sealer.seal(
            parsed.message.body, ValuePlace.in_quarantine(parsed.record_id)
        ),
        receive_count=max(1, parsed.message.receive_count),
        source_id=parsed.message.line.source_id if parsed.message.line else None,
        queue=queue,
    )


_FIRST_DAY: Final = dt.date(1970, 1, 1).toordinal()
_DAY_MS: Final = 86_400_000


def day_of(record_id: uuid.UUID) -> dt.date:
    """Return the day of the time in a record id: that of an event that names none."""
    return dt.date.fromordinal(_FIRST_DAY + milliseconds_of(record_id) // _DAY_MS)
