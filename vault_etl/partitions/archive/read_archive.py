"""Read an archive, and check that it is the one that was made: before its rows count for anything."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import DataError, NotFoundError
from vault_etl.crypto.digest import sha256
from vault_etl.partitions.archive.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    Column,
    Manifest,
)
from vault_etl.partitions.archive.manifest_note import ManifestNote
from vault_etl.partitions.archive.months import CheckedManifest
from vault_etl.partitions.archive.rows import RowsReader
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveReader

_HINT = "nothing was changed; take the archive from a backup of it"


class ReadArchive:
    """Reads an archive of this vault. `folder` takes one part at a time."""

    def __init__(
        self,
        store: ArchiveReader,
        rows_reader: Callable[[Sequence[Column]], RowsReader],
        size_and_sha256: Callable[[Path], tuple[int, bytes]],
        folder: Path,
        vault_id: uuid.UUID,
        key: AuditKey,
    ) -> None:
        """`key` signs archives."""
        self._store = store
        self._rows_reader = rows_reader
        self._size_and_sha256 = size_and_sha256
        self._folder = folder
        self._vault_id = vault_id
        self._key = key

    def manifest(self, recorded: bytes | None = None) -> CheckedManifest:
        """The manifest, if its signature holds and no file is missing or too much.

        `recorded` is the SHA-256 that it has to have. Raises NotFoundError if there is no such archive,
        DataError for one that was changed, and what the store raises.
        """
        names = self._store.names()
        if not names:
            message = f"there is no archive at {self._store.location}"
            raise NotFoundError(
                message, hint="was it moved? `partitions restore --from` takes another location"
            )
        content = self._content(MANIFEST, names)
        note = ManifestNote.parse(self._content(SIGNATURE, names))
        digest = sha256(content)
        if recorded is not None and digest != recorded:
            message = f"the archive at {self._store.location} is another one than the recorded one"
            raise DataError(message, hint="its manifest has another SHA-256; nothing was changed")
        note.check(content, self._vault_id, self._key)
        manifest = Manifest.parse(content)
        if manifest.vault_id != self._vault_id:
            raise _damaged(self._store, "is of another vault")
        wanted = {part.name for part in manifest.parts} | {MANIFEST, SIGNATURE}
        if missing := sorted(wanted.difference(names)):
            raise _damaged(self._store, f"misses {', '.join(missing)}")
        if extra := sorted(set(names) - wanted):
            raise _damaged(self._store, f"has files that are not its own: {', '.join(extra)}")
        return CheckedManifest(manifest, digest)

    def pages(self, checked: CheckedManifest, progress: Progress) -> Iterator[bytes]:
        """All rows. What is wrong with them raises DataError, at the end at the latest."""
        manifest = checked.manifest
        reader = self._rows_reader(manifest.columns)
        read = 0
        for part in manifest.parts:
            path = self._folder / part.name
            self._store.get(part.name, path, part.size)
            try:
                if self._size_and_sha256(path) != (part.size, part.sha256):
                    raise _damaged(self._store, f"has another {part.name} than was written")
                for page in reader.read(path):
                    yield page
                    rows = reader.contents().rows
                    progress.advance(rows - read, part=part.name)
                    read = rows
            finally:
                path.unlink(missing_ok=True)
        if reader.contents() != manifest.contents:
            raise _damaged(self._store, "holds other rows than its manifest says")

    def check(self, checked: CheckedManifest, progress: Progress) -> None:
        """Read all rows for the sake of reading them. Raises DataError."""
        for _ in self.pages(checked, progress):
            pass

    def _content(self, name: str, names: Sequence[str]) -> bytes:
        """A small file."""
        if name not in names:
            raise _damaged(self._store, f"misses {name}")
        path = self._folder / name
        self._store.get(name, path, MAX_MANIFEST_BYTES)
        try:
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


def _damaged(store: ArchiveReader, what: str) -> DataError:
    return DataError(f"the archive at {store.location} {what}", hint=_HINT)
