"""Rows that the library seals or loads have the bytes of the formats."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.kit.declarations import BOTH_APART, widest_first
from tests.kit.row_keys import VaultRowKeys
from tests.kit.vault import Vault
from tests.kit.vaults import KeyedOf, copied
from tests.library.opened import library
from tests.vectors.rows import Given, messages, must_have_rows
from vault_etl import errors
from vault_etl.archives.parquet_layout import columns_of_set, schema_of_set
from vault_etl.crypto.record_id import first_millisecond, record_id_of_line
from vault_etl.declaration.model import DeclaredEvent

SENT: Final = dt.date(2026, 1, 1)
"""The day of a message without one, as of `tests.vectors.rows`."""

SOURCES: Final = "SELECT source_id FROM file_sources"


@pytest.fixture(scope="module", params=BOTH_APART)
def site(
    request: pytest.FixtureRequest, keyed_of: KeyedOf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """A vault of a declaration, with keys."""
    with copied(keyed_of(request.param), tmp_path_factory.mktemp("vectors")) as vault:
        yield vault


def widest(vault: Vault) -> DeclaredEvent:
    """The event of the most personal values."""
    return widest_first(vault.declaration)[0]


@settings(max_examples=4, phases=[Phase.generate])
@given(data=st.data())
def test_a_sealed_table_has_the_bytes_of_the_formats(site: Vault, data: st.DataObject) -> None:
    """Tokens, ciphertexts, plain columns and record ids are those that the formats say, in the columns of a set."""
    event, set_id = widest(site), uuid.uuid4()
    told = data.draw(st.lists(messages(event).filter(lambda one: is_late(event, one)), max_size=8))
    with library(site, "ingest") as opened:
        rows = (json.loads(each.body) for each in told)
        table = opened.seal(rows, event=event.name, set_id=set_id, first=5, sent=SENT)
    assert table.schema == schema_of_set(event)
    must_have_rows(event, numbered(event, told, set_id, 5), table, VaultRowKeys(site))


@settings(max_examples=2, phases=[Phase.generate])
@given(data=st.data())
def test_a_load_has_the_bytes_of_the_formats(site: Vault, data: st.DataObject) -> None:
    """The rows of the table are those too; their record ids are of the source."""
    event = widest(site)
    drawn = data.draw(st.lists(messages(event), min_size=8, max_size=8))
    told = [each for each in drawn if day_of(event, each) == SENT]
    names = ", ".join(column.name for column in columns_of_set(event))
    before = set(site.sql(SOURCES))
    with library(site, "ingest") as opened:
        rows = [json.loads(each.body) for each in told]
        done = opened.ingest(rows, source=str(uuid.uuid4()), event=event.name, sent=SENT)
    assert done.stored == done.received == len(told)
    ((source_id,),) = set(site.sql(SOURCES)) - before
    stored = {
        row[0]: row
        for row in site.sql(f"SELECT {names} FROM vault_etl.{event.name}")  # noqa: S608
    }
    wanted = list(numbered(event, told, source_id, 1))
    must_have_rows(
        event, wanted, Table(event, [stored[each] for each, _ in wanted]), VaultRowKeys(site)
    )


def test_rows_that_are_no_events_are_named(site: Vault) -> None:
    """Nothing is sealed then, and no error has a value."""
    event = widest(site)
    with library(site, "ingest") as opened:
        with pytest.raises(errors.DataError, match=r"2 rows are not events: 7 .*, 8 ") as caught:
            opened.seal([{}, {"ip": "198.51.100.7"}], event=event.name, first=7, sent=SENT)
        with pytest.raises(errors.UsageError):
            opened.seal([], event="no_event")
        with pytest.raises(errors.UsageError):
            opened.seal([], event=event.name, first=0)
        with pytest.raises(errors.UsageError):
            opened.seal([], event=event.name, sent=dt.date(1969, 12, 31))
        assert opened.seal([], event=event.name).num_rows == 0
    assert "198.51.100" not in str(caught.value)


class Table:
    """Rows of Postgres as a table of Arrow gives them."""

    def __init__(self, event: DeclaredEvent, rows: list[tuple[Any, ...]]) -> None:
        self._names = [column.name for column in columns_of_set(event)]
        self._rows = rows

    def to_pylist(self) -> list[dict[str, object]]:
        """The rows, each a dict."""
        return [
            {
                n: bytes(v) if isinstance(v, memoryview) else v
                for n, v in zip(self._names, row, strict=True)
            }
            for row in self._rows
        ]


def day_of(event: DeclaredEvent, told: Given) -> dt.date:
    """The day of a message."""
    day = told.plain[event.day.name]
    assert isinstance(day, dt.date)
    return day


def is_late(event: DeclaredEvent, told: Given) -> bool:
    """Tell whether a record id has the time of a message."""
    return day_of(event, told) >= dt.date(1970, 1, 1)


def numbered(
    event: DeclaredEvent, told: list[Given], source_id: uuid.UUID, first: int
) -> Iterator[tuple[uuid.UUID, Given]]:
    """Each message with its record id."""
    for number, each in enumerate(told, first):
        yield record_id_of_line(source_id, number, first_millisecond(day_of(event, each))), each
