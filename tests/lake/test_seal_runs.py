"""Sealing with runs that end at any point: each record is sealed once, and other sources are refused."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.progress import FakeProgress
from tests.vectors.rows import FixedKeys, Given, must_have_rows
from vault_etl.archives.manifest import GenerationCount, KeyCount
from vault_etl.archives.parquet_parts import set_marks
from vault_etl.base.errors import DataError, OtherContentError, UnavailableError
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import record_id_of_line
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.events import EventParser
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.lake import seal as seal_module
from vault_etl.lake.killed_seal import KilledSeal
from vault_etl.lake.parquet_batches import BatchSealer
from vault_etl.lake.parquet_seal import PartOfRows, sealed_part
from vault_etl.lake.seal import Quarantine, SealedPart, SealParts, SetRegistry, totals
from vault_etl.lake.sealed_mark import SealedMarks
from vault_etl.lake.source_records import ReadSource, Records, SourceRecords
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveStore
from vault_etl.platform.store_folder import FolderArchive
from vault_etl.records.messages import Message

pytestmark = pytest.mark.unit

EVENT = DEFAULT.events[0]
KEYS = FixedKeys()
SET_ID = uuid.UUID(int=5)
SOURCE_KEY = KeyMaterial(bytes(32))
PART_BYTES = 4_000
MARKS = set_marks(uuid.UUID(int=4), SET_ID, EVENT.name, bytes(32))
NAMES = KnownNames.of(DEFAULT)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def login(number: int) -> bytes:
    """A login; each seventh record has no address, and is rejected."""
    event = {
        "user_id": f"u-{number}",
        "device_type": "ios",
        "ip": "no address" if number % 7 == 0 else f"203.0.113.{number % 256}",
        "device_id": f"d-{number}",
        "create_date": f"2026-03-{28 - number % 28:02}",
    }
    return json.dumps(event).encode()


def source(records: Sequence[bytes], *, piece: int = 64) -> ReadSource:
    """A file of these lines, read in pieces of so many bytes."""

    def read(digest: LineDigest) -> Iterator[Records]:
        splitter = ContentSplitter("f", NAMES, digest)
        content = io.BytesIO(b"\n".join(records))
        while chunk := content.read(piece):
            yield splitter.feed(chunk)
        yield splitter.finish()

    return read


class Place(SetRegistry, Quarantine):
    """The record and the quarantine of a vault."""

    def __init__(self) -> None:
        self.rows = 0
        self.quarantined: dict[str, bytes] = {}

    @override
    def record(
        self,
        set_id: uuid.UUID,
        event: EventName,
        rows: int,
        keys: Iterable[KeyCount],
        generations: Iterable[GenerationCount],
        manifest_sha256: bytes | None = None,
    ) -> None:
        assert (set_id, event, manifest_sha256) == (SET_ID, EVENT.name, None)
        assert sum(key.values for key in keys) == 2 * rows
        assert list(generations) == [GenerationCount(1, rows)]
        self.rows = rows

    @override
    def __call__(self, messages: Sequence[Message]) -> int:
        new = {each.message_id: each.body.expose() for each in messages}
        before = len(self.quarantined)
        self.quarantined |= new
        return len(self.quarantined) - before


class Mortal(FolderArchive):
    """A folder whose process ends at a put of a part: before the file is there, or after."""

    def __init__(self, path: Path, puts: float, *, after: bool = False) -> None:
        super().__init__(path)
        self.left = puts
        self.after = after

    @override
    def put(self, name: str, source: Path) -> None:
        self.left -= name.endswith(".parquet")
        if self.left < 0 and not self.after:
            raise UnavailableError(name)
        super().put(name, source)
        if self.left < 0:
            raise UnavailableError(name)


def seal(
    home: Path,
    sources: Sequence[ReadSource],
    place: Place,
    store: ArchiveStore,
    progress: Progress | None = None,
) -> Sequence[SealedPart]:
    """Run once, as the command does."""
    folder = home / "work"
    folder.mkdir(exist_ok=True, parents=True)
    for left in folder.iterdir():
        left.unlink()
    batches = BatchSealer(EVENT, Sealer(KEYS.data_keys(DEFAULT)), KEYS.tokenizer(DEFAULT, 1))
    marks = SealedMarks(SOURCE_KEY, SET_ID)
    killed = KilledSeal(store, folder, marks, lambda path: sealed_part(path, EVENT, MARKS))
    before, reached = killed.parts()
    work = SealParts(
        set_id=SET_ID,
        event=EVENT,
        parser=EventParser(DEFAULT),
        sent=None,
        strict=False,
        registry=place,
        quarantine=place,
        store=store,
        folder=folder,
        new_part=lambda: PartOfRows(batches.seal, MARKS),
        part_bytes=PART_BYTES,
        progress=progress or FakeProgress(),
        marks=marks,
    )
    parts, _ = work(SourceRecords(sources, SOURCE_KEY, reached), before)
    return parts


def must_have(home: Path, records: Sequence[bytes], place: Place) -> None:
    """Hold the parts against the formats: each event is there once, under the id of its line."""
    told = {}
    for number, record in enumerate(records, 1):
        if number % 7 == 0:
            assert place.quarantined.pop(str(number)) == record
            continue
        fields = json.loads(record)
        day = dt.date.fromisoformat(fields.pop("create_date"))
        personal = {name: fields.pop(name) for name in ("ip", "device_id")}
        milliseconds = (day - dt.date(1970, 1, 1)).days * 86_400_000
        record_id = record_id_of_line(SET_ID, number, milliseconds)
        told[record_id] = Given(record, personal, {**fields, "create_date": day})
    assert not place.quarantined
    table = pa.concat_tables(
        pq.read_table(path) for path in sorted((home / "set").glob("*.parquet"))
    )
    found = [uuid.UUID(str(each)) for each in table["record_id"].to_pylist()]
    assert len(found) == place.rows
    must_have_rows(EVENT, [(each, told.pop(each)) for each in found], table, KEYS)
    assert not told


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
