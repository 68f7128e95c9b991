"""Segments in a folder or a bucket, three files each; two are JSON lines in gzip (docs/formats.md, Audit segment)."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from typing_extensions import override

from vault_etl.audit.chain import LoggedEntry, StoredCheckpoint
from vault_etl.audit.segments.segment import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SegmentDraft,
    SegmentFile,
    SegmentManifest,
    SegmentStore,
    StoredSegment,
    moment_text,
    parse_moment,
    segment_name,
    segment_of,
)
from vault_etl.base.errors import DataError
from vault_etl.crypto.digest import RunningSha256
from vault_etl.platform.store import ArchiveReader, ArchiveStore

_ENTRIES: Final = ".entries.jsonl.gz"
_CHECKPOINTS: Final = ".checkpoints.jsonl.gz"


class StoredSegmentFiles(StoredSegment):
    """The files of one segment. A file is fetched when it is read, and deleted from this machine after that."""

    def __init__(self, store: ArchiveReader, manifest: SegmentManifest) -> None:
        self._store = store
        self.manifest = manifest
        self.location = f"{store.location}/{manifest.name}"

    @override
    def entries(self) -> Iterator[LoggedEntry]:
        return self._rows(_ENTRIES, self.manifest.entries, entry_from)

    @override
    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        return self._rows(_CHECKPOINTS, self.manifest.checkpoints, checkpoint_from)

    def _rows(self, kind: str, file: SegmentFile, parse: Callable[[Any], Row]) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows"
            self._store.get(self.manifest.name + kind, path, file.size)
            yield from read_lines(path, file, parse, self.location + kind)


class SegmentFiles(SegmentStore):
    """Segments in one place. A segment without its manifest was not written to its end, and is ignored."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store

    @override
    def segments(self) -> Sequence[StoredSegmentFiles]:
        names = [name for name in map(segment_of, self._store.names()) if name is not None]
        return [StoredSegmentFiles(self._store, self._manifest(name)) for name in names]

    @override
    def write(
        self,
        draft: SegmentDraft,
        entries: Iterator[LoggedEntry],
        checkpoints: Iterator[StoredCheckpoint],
    ) -> SegmentManifest:
        """Store the segment. Files that an interrupted run left under these names are deleted first."""
        name = segment_name(draft.first, draft.last.seq)
        with tempfile.TemporaryDirectory() as folder:
            paths = {kind: Path(folder) / kind for kind in (_ENTRIES, _CHECKPOINTS, MANIFEST)}
            manifest = SegmentManifest(
                vault_id=draft.vault_id,
                first=draft.first,
                prev_hash=draft.prev_hash,
                last=draft.last,
                last_at=draft.last_at,
                checkpoint=draft.checkpoint,
                registrations=draft.registrations,
                entries=write_lines(paths[_ENTRIES], map(entry_object, entries)),
                checkpoints=write_lines(paths[_CHECKPOINTS], map(checkpoint_object, checkpoints)),
            )
            paths[MANIFEST].write_bytes(manifest.content)
            if name + MANIFEST not in self._store.names():
                self._store.delete(name + _ENTRIES)
                self._store.delete(name + _CHECKPOINTS)
            for kind, path in paths.items():
                self._store.put(name + kind, path)
        return manifest

    def _manifest(self, name: str) -> SegmentManifest:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest"
            self._store.get(name + MANIFEST, path, MAX_MANIFEST_BYTES)
            content = path.read_bytes()
        try:
            manifest = SegmentManifest.parse(content)
            if manifest.name == name:
                return manifest
        except ValueError:
            pass
        message = f"{self._store.location}/{name}{MANIFEST} is not the manifest of this segment"
        raise DataError(message, hint="take another copy of the segment; this one was changed")


MAX_LINE_BYTES: Final = 256 * 1024
"""An entry has 14 KB at most, and each of its bytes takes six in JSON at most."""

_LEVEL: Final = 6
_BLOCK: Final = 2**20
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_HASHES: Final = ("prev_hash", "hash")
_NO_TEXTS: Final = frozenset({"seq", "microseconds", "fields"})

Row = TypeVar("Row")


def entry_object(entry: LoggedEntry) -> dict[str, object]:
    """Return an entry that holds, by the names of its columns. `time` has microseconds."""
    found = entry._asdict()
    moment = _EPOCH + found.pop("microseconds") * _MICROSECOND
    hashes = {name: found.pop(name).hex() for name in _HASHES}
    return {"seq": found.pop("seq"), "time": moment_text(moment), **found, **hashes}


def entry_from(found: Any) -> LoggedEntry:  # noqa: ANN401 - whatever JSON held
    """Return the entry. Raises ValueError, TypeError or KeyError for another object."""
    found["microseconds"] = (parse_moment(found.pop("time")) - _EPOCH) // _MICROSECOND
    fields, seq = found["fields"], found["seq"]
    texts = [value for name, value in found.items() if name not in _NO_TEXTS]
    _must_be(type(seq) is int and isinstance(fields, list), *map(_is_text, [*texts, *fields]))
    found |= {name: bytes.fromhex(found[name]) for name in _HASHES}
    return LoggedEntry(**found)


def checkpoint_object(stored: StoredCheckpoint) -> dict[str, object]:
    """Return a checkpoint, with bytes in hex."""
    return {
        "seq": stored.seq,
        "hash": (stored.hash or b"").hex(),
        "key_hash": (stored.key_hash or b"").hex(),
        "signature": (stored.signature or b"").hex(),
        "stored_by": stored.stored_by,
    }


def checkpoint_from(found: Any) -> StoredCheckpoint:  # noqa: ANN401 - whatever JSON held
    """Return the checkpoint. Raises ValueError, TypeError or KeyError for another object."""
    names = ("hash", "key_hash", "signature")
    _must_be(type(found["seq"]) is int, _is_text(found["stored_by"]))
    found |= {name: bytes.fromhex(found[name]) for name in names}
    return StoredCheckpoint(**found)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _must_be(*checks: bool) -> None:
    if not all(checks):
        message = "a column is of another type"
        raise TypeError(message)


def write_lines(path: Path, rows: Iterable[dict[str, object]]) -> SegmentFile:
    """Write a file with one row a line. The same rows make the same bytes."""
    count = 0
    with path.open("xb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            file.write(line.encode() + b"\n")
            count += 1
    return SegmentFile(count, path.stat().st_size, _sha256(path))


def read_lines(
    path: Path, file: SegmentFile, parse: Callable[[Any], Row], name: str
) -> Iterator[Row]:
    """Stream the rows of a file. Raises DataError, calling it `name`, if it is not `file`."""
    if path.stat().st_size != file.size or _sha256(path) != file.sha256:
        raise _is_not(name)
    count = 0
    with gzip.open(path) as lines:
        try:
            while line := lines.readline(MAX_LINE_BYTES):
                row = parse(json.loads(line))
                count += 1
                if count > file.rows:
                    raise _is_not(name)
                yield row
        except (
            OSError,
            EOFError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            zlib.error,
        ):
            raise _is_not(name) from None
    if count != file.rows:
        raise _is_not(name)


def _sha256(path: Path) -> bytes:
    digest = RunningSha256()
    with path.open("rb") as file:
        while part := file.read(_BLOCK):
            digest.update(part)
    return digest.digest()


def _is_not(name: str) -> DataError:
    message = f"{name} is not what its manifest says"
    return DataError(message, hint="take another copy of the segment; this one was changed")
