"""Tables with tokens: other columns stay, and another content is refused without a value of it."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vault_etl.base.errors import DataError, IncompleteError, UsageError
from vault_etl.lake.parquet_tokens import TableWithTokens

pytestmark = pytest.mark.unit

Arrow: TypeAlias = Any
"""An array or a table of pyarrow, which has no types of its own."""

SECRET = "203.0.113.7"
CSV = f'id,ip,note\n1,{SECRET},"a\nb"\n2,,\n007,no,"x,""y"\n'


def made(values: Arrow) -> tuple[Arrow, Sequence[int]]:
    """A token of each value: its length as a UUID. The value `no` has none."""
    texts = values.to_pylist()
    tokens = [None if t in (None, "no") else uuid.UUID(int=len(t)).bytes for t in texts]
    array = pa.ExtensionArray.from_storage(pa.uuid(), pa.array(tokens, pa.binary(16)))
    return array, [index for index, text in enumerate(texts) if text == "no"]


def table(content: bytes | str, *, is_parquet: bool = False, column: str = "ip") -> TableWithTokens:
    """The table in a file of this content."""
    raw = content.encode() if isinstance(content, str) else content
    return TableWithTokens(
        io.BytesIO(raw), "in", is_parquet=is_parquet, column=column, token="masked_ip"
    )


def parquet(rows: Arrow) -> bytes:
    """The bytes of a Parquet file."""
    file = io.BytesIO()
    pq.write_table(rows, file)
    return file.getvalue()


TOKEN = str(uuid.UUID(int=len(SECRET)))


def test_csv_keeps_its_other_cells(tmp_path: Path) -> None:
    """Zeros at the front, line ends and quotes stay; an empty cell has no token."""
    seen: list[int] = []
    assert table(CSV).write(tmp_path / "out.csv", made, seen.append) == (3, [3])
    assert seen == [3]
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.reader(file))
    assert found == [
        ["id", "masked_ip", "note"],
        ["1", TOKEN, "a\nb"],
        ["2", "", ""],
        ["007", "", 'x,"y'],
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Tokens are UUIDs. Batches are numbered through."""
    rows = pa.table({"n": list(range(70_000)), "ip": [SECRET] * 69_999 + ["no"]})
    target = tmp_path / "out.parquet"
    assert table(parquet(rows), is_parquet=True).write(target, made, lambda _: None) == (
        70_000,
        [70_000],
    )
    found = pq.read_table(target)
    assert found.schema.names == ["n", "masked_ip"]
    assert found.schema.field("masked_ip").type == pa.uuid()
    assert found["n"].equals(rows["n"])
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "is_parquet"),
    [
        (f"ip,n\n{SECRET}\n", False),
        (f"ip\n{SECRET}\n\xff".encode("latin-1"), False),
        (b"", False),
        (parquet(pa.table({"ip": [SECRET] * 9}))[:-9], True),
    ],
)
def test_other_content_is_refused_and_leaves_no_file(
    tmp_path: Path, content: bytes | str, *, is_parquet: bool
) -> None:
    """The text of the library, which may quote a row, is not in the error."""
    with pytest.raises(DataError, match="in is not a table") as raised:
        table(content, is_parquet=is_parquet).write(tmp_path / "out.csv", made, lambda _: None)
    assert SECRET not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "column"), [("a,b\n1,2\n", "ip"), ("ip,ip\n1,2\n", "ip"), ("ip,masked_ip\n", "ip")]
)
def test_a_column_must_be_there_once(content: str, column: str) -> None:
    """And the column of tokens must not be there yet."""
    with pytest.raises(UsageError):
        table(content, column=column)


def test_a_column_that_csv_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Parquet holds it."""
    content = parquet(pa.table({"ip": [SECRET], "tags": [["a", "b"]]}))
    with pytest.raises(DataError, match="a column that CSV cannot hold"):
        table(content, is_parquet=True).write(tmp_path / "out.csv", made, lambda _: None)
    assert not list(tmp_path.iterdir())
    table(content, is_parquet=True).write(tmp_path / "out.parquet", made, lambda _: None)


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    """Neither is one left if tokens cannot be made."""
    target = tmp_path / "out.csv"
    (tmp_path / "out.csv.part").write_text("of a killed run")
    table(CSV).write(target, made, lambda _: None)
    assert not (tmp_path / "out.csv.part").exists()
    target.write_text("kept")
    with pytest.raises(IncompleteError, match="exists already"):
        table(CSV).write(target, made, lambda _: None)
    assert target.read_text() == "kept"
    with pytest.raises(ZeroDivisionError):
        table(CSV).write(tmp_path / "other.csv", lambda _: 1 // 0, lambda _: None)  # type: ignore[arg-type,return-value]
    assert not (tmp_path / "other.csv").exists()
