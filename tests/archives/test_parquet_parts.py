"""Parts of a set: sorted, marked, counted, and refused when they are others."""

from __future__ import annotations

import random
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vault_etl.archives import parquet_parts
from vault_etl.archives.manifest import GenerationCount, KeyCount
from vault_etl.archives.parquet_parts import ValueCounts, read_part, set_marks, write_part
from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import EventName

pytestmark = pytest.mark.unit

Rows: TypeAlias = Any
"""A batch of pyarrow, which has no types of its own."""

SCHEMA = pa.schema(
    [
        ("record_id", pa.uuid()),
        ("user_id", pa.string()),
        ("ip_ciphertext", pa.binary()),
        ("token_generation", pa.int16()),
    ]
)
MARKS = set_marks(uuid.UUID(int=1), uuid.UUID(int=2), EventName("user_logins"), bytes(32))


def rows(*numbers: int, key_id: int = 7, generation: int | None = 1) -> Rows:
    """A batch of rows with these record ids."""
    sealed = b"\1" + key_id.to_bytes(4, "big") + bytes(44)
    ids = pa.array([uuid.UUID(int=number).bytes for number in numbers], pa.binary(16))
    many = len(numbers)
    columns = [
        pa.ExtensionArray.from_storage(pa.uuid(), ids),
        pa.array(["u"] * many),
        pa.array([sealed if generation else None] * many, pa.binary()),
        pa.array([generation] * many, pa.int16()),
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def test_a_part_is_sorted_over_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches come in any order. The file is of its owner alone, and other programs read it."""
    monkeypatch.setattr(parquet_parts, "GROUP_ROWS", 40)
    drawn = random.Random(1)
    numbers = [drawn.getrandbits(100) for _ in range(100)]
    path = tmp_path / "part-00001.parquet"
    table = pa.Table.from_batches([rows(*numbers[:30]), rows(*numbers[30:])])
    written = write_part(path, table, MARKS)
    assert (written.part.rows, written.part.size) == (100, path.stat().st_size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    batches = list(read_part(path, SCHEMA, MARKS))
    assert [len(batch) for batch in batches] == [40, 40, 20]
    found = [each.int for batch in batches for each in batch["record_id"].to_pylist()]
    assert found == sorted(numbers)
    assert pq.read_table(path).schema.names == SCHEMA.names
    with pytest.raises(FileExistsError):
        write_part(path, table, MARKS)


@pytest.mark.parametrize("name", MARKS)
def test_a_part_with_another_mark_is_refused(tmp_path: Path, name: str) -> None:
    """A part of another vault, set, event or declaration is not a part of this set."""
    path = tmp_path / "part"
    write_part(path, rows(1), {**MARKS, name: "another"})
    with pytest.raises(DataError, match="part is not a part of this set"):
        list(read_part(path, SCHEMA, MARKS))


@pytest.mark.parametrize("marks", [MARKS, {}])
def test_a_file_of_other_columns_is_refused(tmp_path: Path, marks: Mapping[str, str]) -> None:
    """So is a file that is not Parquet."""
    path = tmp_path / "part"
    write_part(path, rows(1).drop_columns(["user_id"]), marks)
    with pytest.raises(DataError):
        list(read_part(path, SCHEMA, marks))
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError):
        list(read_part(path, SCHEMA, marks))


def test_a_part_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    """The name is free for the next try."""
    with pytest.raises(TypeError):
        write_part(tmp_path / "part", rows(1), {"vault-etl.set_id": 7})  # type: ignore[dict-item]
    assert not list(tmp_path.iterdir())


def test_values_are_counted_by_key_and_generation() -> None:
    """An erased value has no key and no generation."""
    counts = ValueCounts()
    for batch in (rows(1, 2), rows(3, key_id=9, generation=2), rows(4, generation=None)):
        counts.add(batch)
    assert counts.rows == 4
    assert counts.keys() == (KeyCount("ip", 7, 2), KeyCount("ip", 9, 1))
    assert counts.generations() == (GenerationCount(1, 2), GenerationCount(2, 1))
