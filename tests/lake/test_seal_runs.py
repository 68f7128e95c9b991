"""Sealing with runs that end at any point: each record is sealed once, and other sources are refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests.kit.fakes.progress import FakeProgress
from tests.lake.seal_runs import (
    KEYS,
    PART_BYTES,
    SOURCE_KEY,
    Mortal,
    Place,
    login,
    must_have,
    seal,
    sha256,
    source,
)
from vault_etl.base.errors import DataError, OtherContentError, UnavailableError
from vault_etl.lake import seal as seal_module
from vault_etl.lake.seal import totals
from vault_etl.lake.source_records import ReadSource, SourceRecords
from vault_etl.platform.store_folder import FolderArchive

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_module, "SEAL_ROWS", 5)
    monkeypatch.setattr(seal_module, "MAX_REJECTED", 3)


RECORDS = [login(number) for number in range(1, 121)]
MANY = [source(RECORDS[:50]), source(RECORDS[50:])]


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_ends_at_any_part_is_continued(tmp_path: Path, *, after: bool) -> None:
    """Each run ends one part later than the one before it. No record is missing or twice, sealed or in quarantine."""
    place = Place()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            seal(tmp_path, MANY, place, Mortal(tmp_path / "set", 1 - after, after=after))
    parts = seal(tmp_path, MANY, place, FolderArchive(tmp_path / "set"))
    rows, keys, _ = totals(parts)
    assert rows == place.rows == len(RECORDS) - len(RECORDS) // 7
    assert {key.key_id for key in keys} == {KEYS.KEY_ID}
    must_have(tmp_path, RECORDS, place)


def test_a_second_run_of_a_whole_set_seals_nothing(tmp_path: Path) -> None:
    """Whatever the pieces are that the sources are read in."""
    place = Place()
    first = seal(tmp_path, MANY, place, FolderArchive(tmp_path / "set"))
    again = [source(RECORDS[:50], piece=7), source(RECORDS[50:], piece=10_000)]
    assert seal(tmp_path, again, place, FolderArchive(tmp_path / "set")) == first
    must_have(tmp_path, RECORDS, place)


@pytest.mark.parametrize(
    "others",
    [
        [source([login(500), *RECORDS[1:50]]), source(RECORDS[50:])],
        [source(RECORDS[50:]), source(RECORDS[:50])],
        [source(RECORDS[:5])],
        [source(RECORDS[1:])],
    ],
    ids=["changed", "in another order", "cut off", "without the first"],
)
def test_other_sources_are_refused(tmp_path: Path, others: list[ReadSource]) -> None:
    """Nothing is sealed, and what is sealed stays."""
    place = Place()
    with pytest.raises(UnavailableError):
        seal(tmp_path, MANY, place, Mortal(tmp_path / "set", 2))
    names = FolderArchive(tmp_path / "set").names()
    with pytest.raises(OtherContentError):
        seal(tmp_path, others, place, FolderArchive(tmp_path / "set"))
    assert FolderArchive(tmp_path / "set").names() == names
    seal(tmp_path, MANY, place, FolderArchive(tmp_path / "set"))
    must_have(tmp_path, RECORDS, place)


def test_a_part_that_was_changed_meanwhile_is_not_signed(tmp_path: Path) -> None:
    """Not even one that is a good part of the same set: of other sources, or of another number."""
    place, folder = Place(), tmp_path / "set"
    with pytest.raises(UnavailableError):
        seal(tmp_path, MANY, place, Mortal(folder, 2))
    second = folder / "part-00002.parquet"
    whole = second.read_bytes()
    (mark,) = folder.glob("part-00002.*.sealed")
    seal(tmp_path / "other", [source(RECORDS[::-1])], Place(), FolderArchive(tmp_path / "o"))
    for changed in ((folder / "part-00001.parquet"), (tmp_path / "o" / "part-00002.parquet")):
        second.write_bytes(changed.read_bytes())
        renamed = mark.rename(mark.with_name(f"part-00002.{sha256(second)[:8]}.sealed"))
        with pytest.raises(DataError, match=r"part-00002\.parquet was changed"):
            seal(tmp_path, MANY, place, FolderArchive(folder))
        renamed.rename(mark)
    second.write_bytes(whole)
    kept = mark.read_bytes()
    for changed_mark in (kept.replace(b'"last":', b'"last":1'), b"", b"{}\n\n"):
        mark.write_bytes(changed_mark)
        with pytest.raises(DataError, match="was changed"):
            seal(tmp_path, MANY, place, FolderArchive(folder))
    mark.unlink()
    with pytest.raises(DataError, match="was changed"):
        seal(tmp_path, MANY, place, FolderArchive(folder))
    mark.write_bytes(kept)
    seal(tmp_path, MANY, place, FolderArchive(folder))
    must_have(tmp_path, RECORDS, place)


@given(
    st.lists(st.lists(st.sampled_from(range(1, 50)), max_size=8), max_size=4), st.integers(1, 90)
)
def test_numbers_go_on_over_sources(contents: list[list[int]], piece: int) -> None:
    """A record's number is its line, and all lines of the sources before."""
    sources = [source([login(n) for n in content], piece=piece) for content in contents]
    records = SourceRecords(sources, SOURCE_KEY)
    found = [one for each in records.pieces() for one in each]
    wanted = [login(number) for content in contents for number in content]
    assert found == list(enumerate(wanted, 1))
    assert records.reached().last == records.reached().lines == len(wanted)


class Watched(FakeProgress):
    """Looks at the memory of Arrow after each piece."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    @override
    def advance(self, done: int, **details: int | str) -> None:
        self.most = max(self.most, pa.total_allocated_bytes())


@pytest.mark.parametrize("parts", [2, 20])
def test_memory_is_that_of_a_part(tmp_path: Path, parts: int) -> None:
    """Sealed rows are held until their part is written, and no longer."""
    before, watched = pa.total_allocated_bytes(), Watched()
    many = [login(number) for number in range(1, 40 * parts)]
    made = seal(tmp_path, [source(many)], Place(), FolderArchive(tmp_path / "set"), watched)
    assert len(made) >= parts
    assert watched.most - before < 2 * PART_BYTES
