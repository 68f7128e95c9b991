"""Archives of any declared event: every column has a place in Parquet, and every value is counted by its name."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.declarations import DEFAULT, TWO_EVENTS, WIDER
from tests.kit.fakes.manifests import MANIFEST
from vault_etl.archives.declared_event import event_of
from vault_etl.archives.manifest import Column, KeyCount
from vault_etl.archives.numeric_text import numeric_value
from vault_etl.archives.parquet_rows import ParquetRowsReader, ParquetRowsWriter
from vault_etl.base.errors import ConfigurationError, DataError
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.platform.postgres_copy import tuples_from

VALUES = {
    "bigint": bytes(7) + b"\x29",
    "boolean": b"\1",
    "bytea": b"\1" + struct.pack(">I", 7) + bytes(44),
    "date": bytes(4),
    "numeric": numeric_value(b"-19.90"),
    "smallint": b"\0\1",
    "text": "ü".encode(),
    "timestamp with time zone": bytes(8),
    "uuid": bytes(16),
}


def columns_of_event(event: DeclaredEvent) -> tuple[Column, ...]:
    """The columns of the table, as the server names their types."""
    in_full = {"timestamptz": "timestamp with time zone"}
    types = SqlEvent.of(event).types
    return tuple(Column(name.raw, in_full.get(type_, type_)) for name, type_ in types.items())


@pytest.mark.parametrize("declaration", [DEFAULT, WIDER, TWO_EVENTS])
def test_the_rows_of_each_event_come_back(tmp_path: Path, declaration: Declaration) -> None:
    """A row with every value, and one with none. Values of one field are counted by their own names."""
    for event in declaration.events:
        columns = columns_of_event(event)
        page = tuples_from([[VALUES[column.type], None] for column in columns])
        folder = tmp_path / event.name
        folder.mkdir()
        writer = ParquetRowsWriter(columns, folder, {"vault-etl.event": event.name})
        (part,) = [*writer.add(page), *writer.end()]
        reader = ParquetRowsReader(columns, {"vault-etl.event": event.name})
        assert list(reader.read(part.path)) == [page]
        assert reader.contents() == writer.contents()
        names = sorted(value.name for value in event.personal)
        assert writer.contents().keys == tuple(KeyCount(name, 7, 1) for name in names)


def test_an_archive_from_before_a_value_was_declared_is_taken() -> None:
    """It has fewer columns."""
    for declaration in (DEFAULT, WIDER):
        assert event_of(MANIFEST, declaration) == declaration.events[0]


def test_an_archive_of_another_event_or_with_other_columns_is_refused() -> None:
    """The error names them."""
    (event,) = WIDER.events
    wider = replace(MANIFEST, columns=columns_of_event(event))
    event_of(wider, WIDER)
    with pytest.raises(ConfigurationError, match=r"not declared: masked_ip_network, .*user$") as e:
        event_of(wider, DEFAULT)
    assert "VAULT_ETL_SCHEMA_FILE" in str(e.value.hint)
    other = replace(MANIFEST, event=EventName("orders"))
    with pytest.raises(ConfigurationError, match="of the event orders, which is not declared"):
        event_of(other, DEFAULT)
    days = replace(MANIFEST, columns=tuple(c for c in MANIFEST.columns if c.name != "create_date"))
    with pytest.raises(DataError, match="has no column create_date"):
        event_of(days, DEFAULT)
