"""The sources of a set: their kind by their content, the event of the set, and a digest of all that was read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kit.declarations import DEFAULT, TWO_EVENTS
from vault_etl.app.lake_seal import FilesToSeal, event_of_set
from vault_etl.app.lake_sources import SourceReader
from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.source_digest import LineDigest

pytestmark = pytest.mark.unit

ROWS = [
    {
        "type": "sign-up",
        "client": {"ip": f"203.0.113.{n}", "user": f"u{n}"},
        "is_new": True,
        "more": n,
    }
    for n in range(9)
]


def reader(path: Path, *, strict: bool = False) -> SourceReader:
    """The reader of a file of sign-ups."""
    event = TWO_EVENTS.event("sign_ups")
    (found,) = FilesToSeal([str(path)], event, strict=strict).readers(TWO_EVENTS)
    return found


def test_a_file_is_read_by_its_content(tmp_path: Path) -> None:
    """JSON lines, also compressed, and Parquet of the same rows give the same records, whatever their names are."""
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    (tmp_path / "a").write_bytes(lines)
    (tmp_path / "b.gz").write_bytes(gzip.compress(lines))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "c")
    for name, names in (("a", {"more"}), ("b.gz", {"more"}), ("c", set[str]())):
        digest = LineDigest(KeyMaterial(bytes(32)))
        records = [one for piece in reader(tmp_path / name)(digest) for one in piece]
        assert [number for number, _ in records] == list(range(1, 10))
        found = [json.loads(record) for _, record in records]
        assert [{**row, "more": n} for n, row in enumerate(found)] == ROWS
        assert all(row.keys() >= names for row in found)
        assert digest.lines == 9


def test_strict_refuses_columns_that_the_event_does_not_know(tmp_path: Path) -> None:
    """The error names them."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "f")
    with pytest.raises(DataError, match="columns without a place: more"):
        list(reader(tmp_path / "f", strict=True)())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As `ingest --file` does."""
    with pytest.raises(NotFoundError, match="there is no file"):
        list(reader(tmp_path / "gone")())


def test_hints_name_the_command_that_seals(tmp_path: Path) -> None:
    """Of content that another program converts, and of a path that is no file."""
    (tmp_path / "f").write_bytes(b"\xfd7zXZ\x00" + bytes(40))
    with pytest.raises(DataError) as foreign:
        list(reader(tmp_path / "f")())
    assert foreign.value.hint == "xz -dc < FILE | vault-etl lake seal - --to PLACE"
    with pytest.raises(UsageError) as folder:
        list(reader(tmp_path)())
    assert folder.value.hint == "a source is a file, or - for standard input"


def test_a_set_has_one_event() -> None:
    """The only one of the vault, or the one that is named."""
    assert event_of_set(DEFAULT, None) == DEFAULT.events[0]
    assert event_of_set(TWO_EVENTS, "orders").name == "orders"
    for name in (None, "unknown"):
        with pytest.raises(UsageError):
            event_of_set(TWO_EVENTS, name)
