"""Segments of the log in a folder or a bucket: three files each, in one place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.proof import StoredCheckpoint
from vault_etl.audit.segments.lines import (
    checkpoint_from,
    checkpoint_object,
    entry_from,
    entry_object,
    read_lines,
    write_lines,
)
from vault_etl.audit.segments.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Manifest,
    SegmentFile,
    segment_name,
    segment_of,
)
from vault_etl.audit.segments.store import SegmentDraft
from vault_etl.base.errors import DataError
from vault_etl.platform.store import ArchiveReader, ArchiveStore

_ENTRIES: Final = ".entries.jsonl.gz"
_CHECKPOINTS: Final = ".checkpoints.jsonl.gz"

Row = TypeVar("Row")


class StoredSegmentFiles:
    """`StoredSegment`. A file is fetched when it is read, and gone from this machine after that."""

    def __init__(self, store: ArchiveReader, manifest: Manifest) -> None:
        self._store = store
        self.manifest = manifest
        self.location = f"{store.location}/{manifest.name}"

    def entries(self) -> Iterator[LoggedEntry]:
        """See `StoredSegment.entries`."""
        return self._rows(_ENTRIES, self.manifest.entries, entry_from)

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """See `StoredSegment.checkpoints`."""
        return self._rows(_CHECKPOINTS, self.manifest.checkpoints, checkpoint_from)

    def _rows(self, kind: str, file: SegmentFile, parse: Callable[[Any], Row]) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows"
            self._store.get(self.manifest.name + kind, path, file.size)
            yield from read_lines(path, file, parse, self.location + kind)


class SegmentFiles:
    """`SegmentStore` in one place. A segment without its manifest was not written to its end, and is none."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store

    def segments(self) -> Sequence[StoredSegmentFiles]:
        """See `SegmentStore.segments`."""
        names = [name for name in map(segment_of, self._store.names()) if name is not None]
        return [StoredSegmentFiles(self._store, self._manifest(name)) for name in names]

    def write(
        self,
        draft: SegmentDraft,
        entries: Iterator[LoggedEntry],
        checkpoints: Iterator[StoredCheckpoint],
    ) -> Manifest:
        """See `SegmentStore.write`. What an interrupted run left under these names is deleted first."""
        name = segment_name(draft.first, draft.last.seq)
        with tempfile.TemporaryDirectory() as folder:
            paths = {kind: Path(folder) / kind for kind in (_ENTRIES, _CHECKPOINTS, MANIFEST)}
            manifest = Manifest(
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

    def _manifest(self, name: str) -> Manifest:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest"
            self._store.get(name + MANIFEST, path, MAX_MANIFEST_BYTES)
            content = path.read_bytes()
        try:
            manifest = Manifest.parse(content)
            if manifest.name == name:
                return manifest
        except ValueError:
            pass
        message = f"{self._store.location}/{name}{MANIFEST} is no manifest of this segment"
        raise DataError(message, hint="take another copy of the segment; this one was changed")
