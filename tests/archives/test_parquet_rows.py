"""Rows in Parquet: what COPY gave comes back byte for byte, and other programs read it."""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.manifests import COLUMNS
from vault_etl.archives.manifest import Column, GenerationCount, KeyCount
from vault_etl.archives.numeric_text import numeric_value
from vault_etl.archives.parquet_columns import arrow_of, schema_of, values_of
from vault_etl.archives.parquet_parts import WrittenPart
from vault_etl.archives.parquet_rows import ParquetRowsReader, ParquetRowsWriter
from vault_etl.base.errors import ConfigurationError, DataError
from vault_etl.platform.postgres_copy import (
    HEADER,
    TRAILER,
    columns_of,
    copy_binary,
    tuples_from,
    tuples_of,
)

MARKS = {"vault-etl.event": "user_logins"}
DAY = dt.date(2026, 3, 14)
MOMENT = dt.datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=dt.UTC)


def row(number: int, key_id: int = 7) -> tuple[object, ...]:
    """A row as the table has them."""
    sealed = b"\1" + struct.pack(">I", key_id) + bytes(44)
    token = uuid.UUID(int=number)
    plain = ("u-1", "ios", token, token)
    return (token, *plain, None, None, sealed, sealed, 1, None, None, "1.10", DAY, MOMENT)


def erased(number: int) -> tuple[object, ...]:
    """A row without tokens and ciphertexts."""
    return (uuid.UUID(int=number), "\u00fc", "web", *[None] * 8, "de", None, DAY, None)


def tuples(rows: Sequence[Sequence[object]]) -> bytes:
    """Return rows as COPY sends them."""
    return tuples_of(copy_binary(rows))


def write(folder: Path, *pages: bytes, **most: int) -> tuple[Any, list[WrittenPart]]:
    """The writer, and all parts, of at most that many rows or bytes."""
    writer = ParquetRowsWriter(COLUMNS, folder, MARKS, **most)
    parts = [part for page in pages for part in writer.add(page)]
    return writer, [*parts, *writer.end()]


def test_a_part_has_as_many_rows_as_one_entry_may_be_about(tmp_path: Path) -> None:
    """However small they are: `lake open` opens a part for one entry."""
    pages = [tuples([erased(n), erased(n + 1)]) for n in range(0, 10, 2)]
    _, parts = write(tmp_path, *pages, part_rows=3)
    assert [part.part.rows for part in parts] == [4, 4, 2]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    """From several parts, each as large as it may be; with the same counts and hash."""
    pages = [tuples([row(n), row(n + 1, 8), erased(n + 2)]) for n in range(0, 12, 3)]
    writer, parts = write(tmp_path, *pages[:2], b"", *pages[2:], part_bytes=1)
    assert [part.part.name for part in parts] == [f"part-0000{n}.parquet" for n in range(1, 5)]
    reader = ParquetRowsReader(COLUMNS, MARKS)
    assert [page for part in parts for page in reader.read(part.path)] == pages
    contents = writer.contents()
    assert reader.contents() == contents
    assert contents.rows == sum(part.part.rows for part in parts) == 12
    assert contents.keys == (
        KeyCount("device_id", 7, 4),
        KeyCount("device_id", 8, 4),
        KeyCount("ip", 7, 4),
        KeyCount("ip", 8, 4),
    )
    assert contents.generations == (GenerationCount(1, 8),)
    whole = copy_binary(
        [r for n in range(0, 12, 3) for r in (row(n), row(n + 1, 8), erased(n + 2))]
    )
    assert contents.sha256 == hashlib.sha256(whole).digest()


def test_a_part_has_the_size_and_hash_of_its_file(tmp_path: Path) -> None:
    """Size and hash are those of the file, which only its owner may read."""
    _, [part] = write(tmp_path, tuples([row(1)]), tuples([row(2)]))
    content = part.path.read_bytes()
    assert (part.part.size, part.part.rows) == (len(content), 2)
    assert part.part.sha256 == hashlib.sha256(content).digest()
    assert part.path.stat().st_mode & 0o777 == 0o600


def test_other_programs_read_natural_types(tmp_path: Path) -> None:
    """UUIDs, text, days and moments, by the names of the table; the file says what it is of."""
    _, [part] = write(tmp_path, tuples([row(5), erased(6)]))
    with pq.ParquetFile(part.path) as file:
        text = str(file.schema)
        marks = file.metadata.metadata
        codec = file.metadata.row_group(0).column(0).compression
        first, second = file.read().to_pylist()
    assert marks == {name.encode(): mark.encode() for name, mark in MARKS.items()}
    assert codec == "ZSTD"
    for line in (
        "fixed_len_byte_array(16) field_id=-1 record_id (UUID)",
        "binary field_id=-1 user_id (String)",
        "binary field_id=-1 ip_ciphertext;",
        "token_generation (Int(bitWidth=16, isSigned=true))",
        "create_date (Date)",
        "event_time (Timestamp(isAdjustedToUTC=true, timeUnit=microseconds",
    ):
        assert line in text
    assert (first["record_id"], first["create_date"]) == (uuid.UUID(int=5), DAY)
    assert (first["event_time"], first["token_generation"]) == (MOMENT, 1)
    assert (second["user_id"], second["masked_ip"], second["event_time"]) == ("\u00fc", None, None)


def test_a_month_without_rows_has_no_part(tmp_path: Path) -> None:
    """The hash is that of an empty COPY."""
    writer, parts = write(tmp_path)
    assert (parts, writer.contents().rows) == ([], 0)
    assert writer.contents().sha256 == hashlib.sha256(HEADER + TRAILER).digest()


def test_a_type_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """Before anything is written: a new column is neither lost nor changed."""
    columns = (*COLUMNS, Column("more", "money"))
    with pytest.raises(ConfigurationError, match="the column more has the type money"):
        ParquetRowsWriter(columns, tmp_path, MARKS)
    with pytest.raises(ConfigurationError):
        ParquetRowsReader(columns, MARKS)


@pytest.mark.parametrize("content", [b"", b"PAR1" * 9, None, b"cut"])
def test_a_file_that_is_no_part_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Damaged, of other columns, or cut off: no error of the library's gets out."""
    _, [part] = write(tmp_path, tuples([row(1)]))
    if content is None:
        table = pa.table({"record_id": pa.array([b"x"])})
        part.path.unlink()
        pq.write_table(table, part.path)
    elif content == b"cut":
        whole = part.path.read_bytes()
        part.path.write_bytes(whole[:100] + bytes(100) + whole[200:])
    else:
        part.path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-00001\.parquet is not a part"):
        list(ParquetRowsReader(COLUMNS, MARKS).read(part.path))


def test_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    """The table got another column meanwhile."""
    writer = ParquetRowsWriter(COLUMNS[:-1], tmp_path, MARKS)
    with pytest.raises(DataError, match="do not match the columns"):
        writer.add(tuples([row(1)]))


BYTES = st.none() | st.binary(max_size=5)


def fixed(width: int) -> st.SearchStrategy[bytes | None]:
    """Values of this many bytes, but for infinity, which days and moments may be."""
    extremes = {b"\x7f" + b"\xff" * (width - 1), b"\x80" + bytes(width - 1)}
    return st.none() | st.binary(min_size=width, max_size=width).filter(lambda v: v not in extremes)


MOST_MICROSECONDS = 2**63 - 1 - 946_684_800_000_000
VALUES = {
    "bigint": fixed(8),
    "boolean": st.none() | st.sampled_from([b"\0", b"\1"]),
    "bytea": BYTES,
    "date": st.none() | st.integers(-700_000, 3_000_000).map(struct.Struct(">i").pack),
    "integer": fixed(4),
    "numeric": st.none()
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
    .map(lambda value: f"{value:f}".encode())
    .map(numeric_value),
    "smallint": fixed(2),
    "text": st.none() | st.text(max_size=5).map(str.encode),
    "timestamp with time zone": st.none()
    | st.integers(-(2**62), MOST_MICROSECONDS).map(struct.Struct(">q").pack),
    "uuid": fixed(16),
}


@pytest.mark.parametrize("type_", sorted(VALUES))
@given(data=st.data())
def test_every_value_comes_back(type_: str, data: st.DataObject) -> None:
    """Of every type, NULL among them, and wherever an array begins."""
    column = Column("c", type_)
    values = data.draw(st.lists(VALUES[type_], max_size=6))
    made = arrow_of(column, values)
    assert made.type == schema_of([column]).field(0).type
    assert values_of(column, made) == values
    assert values_of(column, made[1:]) == values[1:]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("date", b"\x7f\xff\xff\xff"),
        ("date", b"\x80\0\0\0"),
        ("timestamp with time zone", b"\x7f" + b"\xff" * 7),
        ("timestamp with time zone", b"\x80" + bytes(7)),
        ("text", b"\xff"),
        ("uuid", b"short"),
        ("integer", b"\0\0"),
        ("numeric", b"\0\0\0\0\xc0\0\0\0"),
        ("numeric", b"\0\1\0\0\0\0\0\0"),
    ],
)
def test_a_value_that_has_no_place_is_refused(type_: str, value: bytes) -> None:
    """Infinity is no day, and NaN no number. The error names the column, and not the value."""
    with pytest.raises(DataError, match="the column c has a value that Parquet cannot hold"):
        arrow_of(Column("c", type_), [None, value])


@given(st.lists(st.tuples(BYTES, BYTES, BYTES), max_size=5), st.binary(min_size=1, max_size=3))
def test_tuples_are_split_and_joined(rows: list[tuple[bytes | None, ...]], noise: bytes) -> None:
    """Tuples that are cut off, or have other columns, are refused."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    whole = tuples_from(columns)
    assert columns_of(whole, 3) == columns
    if whole:
        for broken in (whole[:-1], whole + b"\0", whole + b"\0\3\0"):
            with pytest.raises(ValueError, match="COPY"):
                columns_of(broken, 3)
        with pytest.raises(ValueError, match="COPY"):
            columns_of(whole, 2)
    with pytest.raises(ValueError, match="COPY"):
        tuples_of(noise)
