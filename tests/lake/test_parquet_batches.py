"""Batches of Arrow are sealed, row by row as the table is, and columns get their tokens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declarations import DEFAULT, SHOP, TWO_EVENTS, WIDER
from tests.lake.sealed_rows import KEYS, parsed, sealed_batch
from tests.vectors.rows import Given, messages, must_have_rows
from vault_etl.archives.numeric_text import numeric_text
from vault_etl.archives.parquet_layout import schema_of_set
from vault_etl.base.errors import UsageError
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.sealing import Sealer
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.declaration.searched import searched
from vault_etl.lake.parquet_batches import (
    BatchSealer,
    BatchTokens,
)
from vault_etl.platform.postgres_copy import columns_of, copy_columns, tuples_of

DECLARATIONS: Final = {"default": DEFAULT, "wider": WIDER, "two": TWO_EVENTS, "shop": SHOP}


@pytest.mark.parametrize("declared", DECLARATIONS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_batch_has_the_rows_of_its_events(declared: str, data: st.DataObject) -> None:
    """The columns of a set, with the bytes that the formats say."""
    declaration = DECLARATIONS[declared]
    event: DeclaredEvent = data.draw(st.sampled_from(declaration.events))
    told: list[Given] = data.draw(st.lists(messages(event), max_size=6))
    rows = parsed(declaration, [each.body for each in told])
    sealer = Sealer(KEYS.data_keys(declaration))
    batch = BatchSealer(event, sealer, KEYS.tokenizer(declaration, 1)).seal(rows)
    assert batch.schema == schema_of_set(event)
    must_have_rows(event, zip((record_id for record_id, _ in rows), told, strict=True), batch, KEYS)


def test_a_number_has_the_text_that_postgres_shows() -> None:
    """As a month that was archived from the table has it."""
    spelled = ["1", "-0", "007", "1.10", "-0.00", "1e2", "1.5E1", "1e-3", "-12.5e+1", "0.0001e4"]
    body = '{"type":"sign-up","client":{"ip":"::1","user":"u"},"is_new":true,"at":"2026-01-01","price":%s}'
    event = TWO_EVENTS.event("sign_ups")
    rows = [
        row
        for text in spelled
        for row in parsed(TWO_EVENTS, [(body % text.replace("007", '"007"')).encode()])
    ]
    sealer = BatchSealer(event, Sealer(KEYS.data_keys(TWO_EVENTS)), KEYS.tokenizer(TWO_EVENTS, 1))
    copied = columns_of(tuples_of(copy_columns([[Decimal(text) for text in spelled]])), 1)[0]
    texts = [numeric_text(value or b"").decode() for value in copied]
    assert sealer.seal(rows)["price"].to_pylist() == texts


def test_a_batch_takes_the_records_of_its_event_alone() -> None:
    """Those of another one have other columns."""
    sealer = BatchSealer(
        TWO_EVENTS.event("sign_ups"),
        Sealer(KEYS.data_keys(TWO_EVENTS)),
        KEYS.tokenizer(TWO_EVENTS, 1),
    )
    rows = parsed(TWO_EVENTS, [b'{"type":"order","buyer":"b","ip":"::1"}'])
    with pytest.raises(ValueError, match="not of the event"):
        sealer.seal(rows)


# Tokens.


def tokens_of(name: str) -> BatchTokens:
    """What makes the tokens of a name of the wider declaration."""
    wanted = searched(WIDER)[FieldName(name)]
    return BatchTokens(KEYS.tokenizer(WIDER, 1).field(wanted.field.name), wanted)


@pytest.mark.parametrize(
    "type_",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_tokens_of_a_column_are_those_of_the_rows(type_: Any) -> None:  # noqa: ANN401 - of pyarrow
    """Nulls have none, and a value that the field cannot hold is named by its index."""
    batch = sealed_batch()
    values = pa.array(["198.51.100.7", None, "no address", " 2001:DB8::1 ", "198.51.100.7"])
    made, unheld = tokens_of("ip").tokens(values.cast(type_))
    stored = batch["masked_ip"].to_pylist()
    assert made.type == pa.uuid()
    assert made.to_pylist() == [stored[0], None, None, stored[2], stored[0]]
    assert unheld == [2]


def test_tokens_of_derived_forms_and_of_numbers() -> None:
    """A network has the token of its addresses; a whole number counts as its digits."""
    network, _ = tokens_of("ip/network").tokens(pa.array(["198.51.100.0/24", "198.51.100.99"]))
    assert network.to_pylist() == [sealed_batch()["masked_ip_network"].to_pylist()[0]] * 2
    numbers, unheld = tokens_of("device_id").tokens(pa.array([4711, None], pa.int64()))
    assert numbers.to_pylist() == [
        tokens_of("device_id").tokens(pa.array(["4711"]))[0][0].as_py(),
        None,
    ]
    assert unheld == []
    assert tokens_of("ip").tokens(pa.array([None, None]))[0].to_pylist() == [None, None]
    assert len(tokens_of("ip").tokens(pa.array([], pa.string()))[0]) == 0
    with pytest.raises(UsageError, match="a column of double has no texts"):
        tokens_of("ip").tokens(pa.array([1.5]))
