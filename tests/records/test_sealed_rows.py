"""The rows of a batch are byte for byte those that are made one at a time, from the formats alone."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declarations import DEFAULT, SHOP, TWO_EVENTS, WIDER
from tests.vectors import oracle
from tests.vectors.rows import FixedKeys, Given, messages, row_of
from vault_etl.base.pii import Pii
from vault_etl.crypto.sealing import Sealer
from vault_etl.declaration.model import DeclaredEvent, PlainType
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
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
FIRST, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)
DECLARATIONS: Final = {"default": DEFAULT, "wider": WIDER, "two": TWO_EVENTS, "shop": SHOP}
KEYS: Final = FixedKeys()

NUMBERS: Final[Mapping[PlainType | None, Callable[[Any], object]]] = {
    PlainType.INTEGER: BigInt,
    PlainType.DECIMAL: Decimal,
}


def one_row(
    event: DeclaredEvent, record: SealedRecord, told: Given, pending: int | None
) -> list[object]:
    """The values of a row in the order of the table. The nonces are those of the record."""
    stored = {f"{name}_ciphertext": sealed for name, sealed in record.ciphertexts.items()}
    row = row_of(
        event,
        record.record_id,
        told,
        {**stored, "token_generation": 1},
        KEYS,
        pending=pending,
    )
    types = {column.name: column.type for column in event.plain}
    return [
        NUMBERS[types[name]](value) if value is not None and types.get(name) in NUMBERS else value
        for name, value in ((name.raw, row[name.raw]) for name in SqlEvent.of(event).columns)
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
    next_tokenizer = None if pending is None else KEYS.tokenizer(declaration, pending)
    sealer = RecordSealer(
        Sealer(KEYS.data_keys(declaration)), KEYS.tokenizer(declaration, 1), next_tokenizer
    )
    records = []
    for number, told in enumerate(batch):
        parsed = parse_message(parser, Message(f"m-{number}", "", Pii(told.body), SENT_MS), ranges)
        assert isinstance(parsed.content, ParsedEvent), parsed.content
        assert parsed.record_id == oracle.record_id(f"m-{number}", SENT_MS)
        records.append(sealer.seal(parsed.record_id, parsed.content))
    rows = [copied(one_row(event, *pair, pending)) for pair in zip(records, batch, strict=True)]
    assert copy_columns(columns_of(event, records)) == HEADER + b"".join(rows) + TRAILER
    sealed = [sealed for record in records for sealed in record.ciphertexts.values()]
    assert len({stored[5:17] for stored in sealed}) == len(sealed)
