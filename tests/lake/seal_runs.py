"""Runs of a seal into a folder, which may end at any part, and what must be in the set then."""

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
from typing_extensions import override

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.progress import FakeProgress
from tests.vectors.rows import FixedKeys, Given, must_have_rows
from vault_etl.archives.manifest import GenerationCount, KeyCount
from vault_etl.archives.parquet_parts import set_marks
from vault_etl.base.errors import UnavailableError
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import record_id_of_line
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.events import EventParser
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.lake.killed_seal import KilledSeal
from vault_etl.lake.parquet_batches import BatchSealer
from vault_etl.lake.parquet_seal import PartOfRows, sealed_part
from vault_etl.lake.seal import Quarantine, SealedPart, SealParts, SetRegistry
from vault_etl.lake.sealed_mark import SealedMarks
from vault_etl.lake.source_records import ReadSource, Records, SourceRecords
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveStore
from vault_etl.platform.store_folder import FolderArchive
from vault_etl.records.messages import Message

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
