"""Rows of Parquet with plaintext: the same records as CSV has, or a refusal that says nothing of a value."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import uuid
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kit.declarations import DEFAULT, TWO_EVENTS
from vault_etl.base.errors import DataError
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.lake.parquet_plain import ROWS, PlainRows

pytestmark = pytest.mark.unit

Arrow: TypeAlias = Any
"""A type or a table of pyarrow, which has no types of its own."""

LOGINS = DEFAULT.events[0]
LOGIN: dict[str, Any] = {
    "user_id": "u-1",
    "device_type": "ios",
    "ip": "203.0.113.7",
    "device_id": "Phone-1",
    "locale": "de",
    "app_version": "1.10",
}


def rows_of(table: Arrow, event: DeclaredEvent = LOGINS) -> PlainRows:
    """The rows of a file with this table."""
    file = io.BytesIO()
    pq.write_table(table, file)
    file.seek(0)
    return PlainRows(file, "logins.parquet", event)


def records(table: Arrow, event: DeclaredEvent = LOGINS) -> list[Any]:
    """The records, without their numbers."""
    pieces = rows_of(table, event).pieces()
    return [json.loads(record) for piece in pieces for _, record in piece]


def column(values: list[Any], kind: Arrow) -> list[Any]:
    """The values of a column of this type as the records have them."""
    others = {name: pa.array([text] * len(values)) for name, text in LOGIN.items()}
    table = pa.table({**others, "device_id": pa.array(values, kind)})
    return [record.get("device_id") for record in records(table)]


def test_rows_are_numbered_in_pieces() -> None:
    """Numbers begin at 1, go over the row groups, and no piece is longer than `ROWS`."""
    table = pa.table({name: [text] * 1_201 for name, text in LOGIN.items()})
    rows = rows_of(table)
    pieces = list(rows.pieces())
    assert rows.rows == 1_201
    assert max(map(len, pieces)) == ROWS
    assert [number for piece in pieces for number, _ in piece] == list(range(1, 1_202))
    assert json.loads(pieces[2][-1][1]) == LOGIN


ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("kind", "value", "spelled"),
    [
        (pa.string(), "ä\u0301", "ä\u0301"),
        (pa.large_string(), "x", "x"),
        (pa.string_view(), "x", "x"),
        (pa.dictionary(pa.int8(), pa.string()), "x", "x"),
        (pa.int64(), 4711, 4711),
        (pa.float64(), 1.5, 1.5),
        (pa.bool_(), True, True),
        (pa.decimal128(6, 2), decimal.Decimal("1.10"), "1.10"),
        (pa.date32(), dt.date(2026, 3, 14), "2026-03-14"),
        (pa.timestamp("ns", "UTC"), 1_000, "1970-01-01T00:00:00.000001+00:00"),
        (pa.timestamp("ms", "Europe/Berlin"), 0, "1970-01-01T01:00:00+01:00"),
        (pa.timestamp("us"), 0, "1970-01-01T00:00:00"),
        (pa.uuid(), ID.bytes, str(ID)),
        (pa.struct([("at", pa.date32())]), {"at": dt.date(2026, 3, 14)}, {"at": "2026-03-14"}),
        (pa.list_(pa.int8()), [1, 2], [1, 2]),
    ],
    ids=str,
)
def test_a_value_is_spelled_as_json_spells_it(kind: Arrow, value: object, spelled: object) -> None:
    """A type without a type in JSON is text. A required value that is null stays, so that its absence is judged."""
    assert column([value, None], kind) == [spelled, None]


def test_nan_is_no_value() -> None:
    """Programs write NaN into a column of numbers for a number that they do not know."""
    assert column([float("nan"), 2.0], pa.float64()) == [None, 2.0]


def test_values_by_path_are_in_structs() -> None:
    """A nested value of the declaration is a member of a struct."""
    event = TWO_EVENTS.event("sign_ups")
    row = {"type": "sign-up", "client": {"ip": "203.0.113.7", "user": "u"}, "is_new": True}
    assert records(pa.Table.from_pylist([row]), event) == [row]


def test_columns_that_the_event_does_not_know_are_not_read() -> None:
    """They are named, and their types do not matter."""
    table = pa.Table.from_pylist([{**LOGIN, "raw": b"\xff", "203.0.113.9": 1}])
    rows = rows_of(table)
    assert [json.loads(record) for _, record in next(rows.pieces())] == [LOGIN]
    assert rows.extra_columns == ("(others)", "raw")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pa.Table.from_pylist([{"user_id": "u"}]), "no column device_type, ip, device_id"),
        (pa.Table.from_pylist([{**LOGIN, "ip": b"\1\2\3\4"}]), "column ip .* type binary"),
        (pa.Table.from_pylist([{**LOGIN, "ip": {"v4": b"\1"}}]), "column ip .* type struct"),
        (
            pa.Table.from_arrays([pa.array(["u"])] * 7, names=[*LOGIN, "ip"]),
            "two columns of one name",
        ),
    ],
)
def test_another_table_is_refused(table: Arrow, text: str) -> None:
    """The error names the column."""
    with pytest.raises(DataError, match=text):
        rows_of(table)


def test_damage_is_refused_without_a_value() -> None:
    """A file that is cut off has no footer; a page that does not decompress shows itself when it is read."""
    file = io.BytesIO()
    pq.write_table(pa.table({name: [text] * 500 for name, text in LOGIN.items()}), file)
    whole = file.getvalue()
    for damaged in (whole[:-9], whole[:40] + bytes(40) + whole[80:], b"PAR1"):
        with pytest.raises(DataError, match="is damaged") as raised:
            list(PlainRows(io.BytesIO(damaged), "x", LOGINS).pieces())
        assert "203.0.113.7" not in str(raised.value)
        assert raised.value.__suppress_context__


def test_a_row_longer_than_any_event_is_refused() -> None:
    """The error has the number of the row."""
    table = pa.Table.from_pylist([LOGIN, {**LOGIN, "locale": "x" * 2**20}])
    with pytest.raises(DataError, match=r"row 2 of logins\.parquet is longer"):
        records(table)
