"""The rows of a batch are byte for byte those that are made one at a time, from the formats alone."""

from __future__ import annotations

import datetime as dt
import functools
import json
import struct
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declarations import DEFAULT, SHOP, TWO_EVENTS, WIDER
from tests.kit.kind_values import OTHERWISE, VALUES
from tests.vectors import oracle
from vault_etl.base.pii import Pii
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    PlainType,
)
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.kinds.blank import is_blank
from vault_etl.platform.postgres_copy import HEADER, TRAILER, BigInt, copy_columns
from vault_etl.records.messages import (
    Message,
    RecordRange,
    RecordRanges,
    SealedRecord,
    parse_message,
)
from vault_etl.records.postgres_insert import columns_of
from vault_etl.records.sealing import RecordSealer

SENT_MS: Final = 1_767_225_600_123
DAY_SENT: Final = dt.date(2026, 1, 1)
FIRST, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)
DECLARATIONS: Final = {"default": DEFAULT, "wider": WIDER, "two": TWO_EVENTS, "shop": SHOP}

NUMBER: Final = "\\ue000"
"""The mark of a number, as JSON spells a character of private use, which no drawn text has."""

NUMBERS: Final[Mapping[PlainType | None, Callable[[Any], object]]] = {
    PlainType.INTEGER: BigInt,
    PlainType.DECIMAL: Decimal,
}

_days = st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30))
_moments = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC))  # noqa: DTZ001
_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["C"]), max_size=16)


class Given(NamedTuple):
    """A message, the personal texts that it has, and the plain columns of its row."""

    body: bytes
    personal: Mapping[str, str]
    plain: Mapping[str, object]


@st.composite
def messages(draw: st.DrawFn, event: DeclaredEvent) -> Given:
    """Draw a message with all required values and some optional ones."""
    message: dict[str, Any] = {}
    personal, plain = dict[str, str](), dict[str, object]()
    if event.when:
        _put(message, event.when.path.names, event.when.equals)
    for value in event.values:
        if not value.required and draw(st.booleans()):
            continue
        if isinstance(value, PersonalValue):
            kind = value.field.kind
            text = draw(_short(kind.name))
            text = draw(st.sampled_from([text, OTHERWISE[kind.name](text), *kind.placeholders[:2]]))
            personal[value.name] = text
            _put(message, value.path.names, text)
        else:
            given_value, columns = draw(_plain(value))
            plain |= columns
            _put(message, value.path.names, given_value)
    plain.setdefault(event.day.name, DAY_SENT)
    return Given(
        json.dumps(message).replace(f'"{NUMBER}', "").replace(f'{NUMBER}"', "").encode(),
        personal,
        plain,
    )


@functools.cache
def _short(kind: str) -> st.SearchStrategy[str]:
    """Texts of a kind of at most 36 characters. Hypothesis takes longer to make a strategy than to draw from it."""
    return VALUES[kind].filter(lambda text: len(text) <= 36)


@functools.cache
def _plain(column: PlainColumn) -> st.SearchStrategy[tuple[object, dict[str, object]]]:
    """A value for JSON, and the columns that it fills. A number is a text between marks, which are cut out later."""
    name = column.name
    if column.type is PlainType.TEXT:
        texts = _texts.filter(lambda text: not is_blank(text))
        return texts.map(lambda text: (text, {name: text}))
    if column.type is PlainType.BOOLEAN:
        return st.booleans().map(lambda value: (value, {name: value}))
    if column.type is PlainType.DAY:
        return _days.map(lambda day: (day.isoformat(), {name: day}))
    if column.type is PlainType.MOMENT:
        return _moments.map(lambda moment: (moment.isoformat(), {name: moment}))
    return st.integers(-(2**63), 2**63 - 1).map(
        lambda number: (f"\ue000{number}\ue000", {name: str(number)})
    )


def _put(message: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        message = message.setdefault(name, {})
    message[path[-1]] = value


def _key(seed: str) -> bytes:
    return seed.encode().ljust(32, b"-")


def tokenizer(declaration: Declaration, generation: int) -> Tokenizer:
    """The tokenizer of a generation."""
    keys = [
        TokenKey(1, name, generation, KeyMaterial(_key(f"{name} {generation}")))
        for name in declaration.field_names
    ]
    return Tokenizer(keys, declaration.kinds)


def one_row(
    event: DeclaredEvent, record: SealedRecord, told: Given, pending: int | None
) -> list[object]:
    """The values of a row, made from the formats. The nonces are those of the record."""
    names = SqlEvent.of(event)
    ciphertexts, tokens, next_tokens = list[object](), list[object](), list[object]()
    for value in event.personal:
        text, field = told.personal.get(value.name), value.field.name
        kind = value.field.kind
        sealed = None if text is None else kind.accept(text)
        ciphertexts.append(None)
        if sealed is not None:
            nonce = record.ciphertexts[value.name][5:17]
            bound = oracle.associated_data(
                event.name, value.name, record.record_id, 7, record.subject
            )
            padded = oracle.pad(sealed.encode())
            ciphertexts[-1] = oracle.seal(_key(field), 7, nonce, padded, bound)
        for into, generation in ((tokens, 1), (next_tokens, pending)):
            for derived in (None, *value.derived):
                if sealed is None or generation is None:
                    into.append(None)
                    continue
                key = _key(f"{field} {generation}")
                if derived is not None:
                    into.append(
                        oracle.token(key, f"{field}/{derived.name}", derived.canonical(sealed))
                    )
                    continue
                form = kind.canonical(sealed)
                public = {kind.canonical(one) for one in kind.placeholders}
                into.append(
                    oracle.placeholder_token(field, form)
                    if form.lower() in public
                    else oracle.token(key, field, form)
                )
    types = {column.name: column.type for column in event.plain}
    plain = {
        name: NUMBERS[types[name]](value) if types.get(name) in NUMBERS else value
        for name, value in told.plain.items()
    }
    return [
        record.record_id,
        *(plain.get(name.raw) for name in names.required_plain),
        *tokens,
        *next_tokens,
        *ciphertexts,
        1,
        pending,
        *(plain.get(name.raw) for name in names.optional_plain),
    ]


def _numeric(value: Decimal) -> bytes:
    """A whole number, in digits to the base of 10,000."""
    left, digits = abs(int(value)), list[int]()
    while left:
        left, digit = divmod(left, 10_000)
        digits.insert(0, digit)
    weight = max(0, len(digits) - 1)
    while digits and not digits[-1]:
        digits.pop()
    sign = 0x4000 if value < 0 else 0
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, 0, *digits)


_EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_BYTES: Final[Mapping[type, Callable[[Any], bytes]]] = {
    uuid.UUID: lambda value: value.bytes,
    str: lambda value: value.encode(),
    bytes: lambda value: value,
    bool: lambda value: struct.pack("?", value),
    int: lambda value: struct.pack(">h", value),
    BigInt: lambda value: struct.pack(">q", value),
    Decimal: _numeric,
    dt.date: lambda value: struct.pack(">i", (value - _EPOCH.date()).days),
    dt.datetime: lambda value: struct.pack(">q", (value - _EPOCH) // dt.timedelta(microseconds=1)),
}


def copied(row: list[object]) -> bytes:
    """One row in COPY's binary format."""
    out = struct.pack(">h", len(row))
    for value in row:
        content = None if value is None else _BYTES[type(value)](value)
        out += struct.pack(">i", -1 if content is None else len(content)) + (content or b"")
    return out


@pytest.mark.parametrize("declared", DECLARATIONS)
@pytest.mark.parametrize("pending", [None, 2])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_batch_has_the_rows_of_its_messages(
    declared: str, pending: int | None, data: st.DataObject
) -> None:
    """Ids, plain values, tokens of each generation, and ciphertexts under nonces that are all different."""
    declaration = DECLARATIONS[declared]
    event = data.draw(st.sampled_from(declaration.events))
    batch = data.draw(st.lists(messages(event), min_size=1, max_size=6))
    ranges = RecordRanges(RecordRange(one.name, FIRST, LAST) for one in declaration.events)
    parser = EventParser(declaration)
    keys = [DataKey(7, name, KeyMaterial(_key(name))) for name in declaration.field_names]
    next_tokenizer = None if pending is None else tokenizer(declaration, pending)
    sealer = RecordSealer(Sealer(keys), tokenizer(declaration, 1), next_tokenizer)
    records = []
    for number, told in enumerate(batch):
        parsed = parse_message(parser, Message(f"m-{number}", "", Pii(told.body), SENT_MS), ranges)
        assert isinstance(parsed.content, ParsedEvent), parsed.content
        assert parsed.record_id == oracle.record_id(f"m-{number}", SENT_MS)
        records.append(sealer.seal(parsed, parsed.content))
    rows = [copied(one_row(event, *pair, pending)) for pair in zip(records, batch, strict=True)]
    assert copy_columns(columns_of(event, records)) == HEADER + b"".join(rows) + TRAILER
    sealed = [sealed for record in records for sealed in record.ciphertexts.values()]
    assert len({stored[5:17] for stored in sealed}) == len(sealed)
