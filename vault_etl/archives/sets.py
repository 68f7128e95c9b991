"""The files of a set: find the manifest that counts, check what it names, and write the next version.

docs/formats.md, Set, has the names. Files are never overwritten: a rewrite adds files of a higher version, the record
changes to them, and then the files that the new manifest does not name are deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vault_etl.archives.keys_file import MAX_KEYS_BYTES, KeysFile
from vault_etl.archives.manifest import (
    Part,
    SetManifest,
    keys_name,
    manifest_name,
    signature_name,
)
from vault_etl.archives.manifest_members import MAX_MANIFEST_BYTES
from vault_etl.archives.manifest_note import ManifestNote
from vault_etl.audit.checkpoint import MAX_NOTE_BYTES, AuditKey
from vault_etl.base.errors import (
    DataError,
    IncompleteError,
    NotFoundError,
    StoppedError,
    VaultEtlError,
)
from vault_etl.crypto.digest import sha256
from vault_etl.platform.store import ArchiveReader, ArchiveStore
from vault_etl.platform.store_folder import size_and_sha256

Sign = Callable[[str], bytes]
"""Signs a text; the signature is in DER."""

MAX_VERSION: Final = 2**20 - 1
"""The highest version, which a mark has in five hex digits."""

_NUMBERED: Final = re.compile(r"(?:manifest|keys)-([0-9]{5,7})\.(?:json|sig)")
_PART: Final = re.compile(
    r"part-[0-9]{5,}(?:(?:-([0-9a-f]{5})[0-9a-f]{3})?\.parquet|\.[0-9a-f]{8}\.sealed)"
)
"""A part, and the mark that `lake seal` keeps of it until its set is finished."""
_HINT: Final = "nothing was changed; take the set from a backup of it"


def mark_of(version: int, attempt: int = 0) -> str:
    """Return the mark in the names of parts that a rewrite makes: its version, and a number of the attempt."""
    return f"{version:05x}{attempt:03x}"


def version_in(name: str) -> int | None:
    """Return the version that made the file of this name; None for a file that no set has."""
    if found := _NUMBERED.fullmatch(name):
        return int(found[1])
    if found := _PART.fullmatch(name):
        return int(found[1], 16) if found[1] else 1
    return None


@dataclass(frozen=True, slots=True)
class CurrentSet:
    """A version of a set whose signature holds, the SHA-256 of its manifest, and all names in its place."""

    manifest: SetManifest
    sha256: bytes
    names: Sequence[str]

    @property
    def own_names(self) -> set[str]:
        """The names of the files of this version."""
        version = self.manifest.version
        numbered = {manifest_name(version), signature_name(version), keys_name(version)}
        return {part.name for part in self.manifest.parts} | numbered

    @property
    def leftovers(self) -> Sequence[str]:
        """Names of this version or an older one that it does not name. No live run writes such a file."""
        version = self.manifest.version
        return [
            name
            for name in self.names
            if name not in self.own_names and 0 < (version_in(name) or 0) <= version
        ]


class SetStore:
    """Reads a set. `folder` holds one file at a time; `key` is the key that signs archives."""

    def __init__(self, store: ArchiveReader, folder: Path, key: AuditKey) -> None:
        self._store = store
        self._folder = folder
        self._key = key

    @property
    def location(self) -> str:
        """The place of the set: an absolute path, or s3://bucket/prefix."""
        return self._store.location

    def read(self, recorded: bytes | None = None) -> CurrentSet:
        """Return the version whose manifest has the SHA-256 `recorded`; for None the highest version.

        Raises NotFoundError if there is no set, DataError if it was changed or a file of it is missing, and what
        the store raises.
        """
        names = self._store.names()
        for version in self._versions(names):
            content = self._content(manifest_name(version), MAX_MANIFEST_BYTES)
            if recorded is None or sha256(content) == recorded:
                found = CurrentSet(self._checked(version, content, names), sha256(content), names)
                if missing := sorted(found.own_names.difference(names)):
                    raise self._damaged(f"has no {', '.join(missing)[:200]}")
                return found
        raise self._damaged("has no manifest with the recorded SHA-256")

    def newest_manifest(self) -> SetManifest:
        """Return the manifest of the highest version. Files that it names may be missing. Raises as `read` does."""
        names = self._store.names()
        version = self._versions(names)[0]
        return self._checked(
            version, self._content(manifest_name(version), MAX_MANIFEST_BYTES), names
        )

    def keys(self, current: CurrentSet) -> KeysFile:
        """Return the wrapped keys of the set. Raises DataError if the file was changed."""
        name = keys_name(current.manifest.version)
        content = self._content(name, MAX_KEYS_BYTES)
        if sha256(content) != current.manifest.keys_sha256:
            raise self._damaged(f"has a {name} that was changed")
        return KeysFile.parse(content)

    @contextlib.contextmanager
    def part(self, part: Part) -> Iterator[Path]:
        """Fetch a part, check its size and SHA-256, and delete the copy after the block. Raises DataError."""
        path = self._folder / part.name
        self._store.get(part.name, path, part.size)
        try:
            if size_and_sha256(path) != (part.size, part.sha256):
                raise self._damaged(f"has a {part.name} that was changed")
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _versions(self, names: Sequence[str]) -> Sequence[int]:
        """Return the versions with a manifest, the highest first. Raises NotFoundError without one."""
        if versions := sorted((v for v in map(_manifest_version, names) if v), reverse=True):
            return versions
        message = f"there is no set at {self._store.location}"
        raise NotFoundError(message, hint="was it moved? Its folder has manifest-00001.json")

    def _checked(self, version: int, content: bytes, names: Sequence[str]) -> SetManifest:
        """Parse a manifest whose signature holds. Raises DataError."""
        name = signature_name(version)
        if name not in names:
            raise self._damaged(f"has no {name}")
        note = ManifestNote.parse(self._content(name, MAX_NOTE_BYTES))
        note.check(content, note.vault_id, self._key)
        manifest = SetManifest.parse(content)
        if (manifest.vault_id, manifest.version) != (note.vault_id, version):
            raise self._damaged(f"has a {manifest_name(version)} of another vault or version")
        return manifest

    def _content(self, name: str, most_bytes: int) -> bytes:
        path = self._folder / name
        self._store.get(name, path, most_bytes)
        try:
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def _damaged(self, what: str) -> DataError:
        return DataError(f"the set at {self._store.location} {what}", hint=_HINT)


@dataclass(frozen=True, slots=True)
class SetWriter:
    """Writes versions of a set. `folder` holds one file at a time; `sign` uses the key `key`."""

    store: ArchiveStore
    folder: Path
    sign: Sign
    key: AuditKey

    def next_version(self, names: Iterable[str]) -> int:
        """Return the version above all that a file in the place has, those of killed runs too."""
        return max((version_in(name) or 0 for name in names), default=0) + 1

    def put(self, name: str, path: Path) -> None:
        """Store a part, and delete `path`. Raises IncompleteError if the name is taken."""
        try:
            self.store.put(name, path)
        finally:
            path.unlink(missing_ok=True)

    def commit(self, manifest: SetManifest, keys: KeysFile) -> CurrentSet:
        """Write the keys, the signature and the manifest; `manifest.keys_sha256` is set here.

        The version counts when the record names its hash. Raises DataError for a manifest that no reader takes,
        IncompleteError if another run has written it; after an error the files that this call wrote are deleted.
        """
        held = keys.encode()
        manifest = dataclasses.replace(manifest, keys_sha256=sha256(held))
        content = manifest.encode()
        SetManifest.parse(content)
        note = ManifestNote.of(content, manifest.vault_id)
        signed = note.signed(self.key, self.sign(note.text)).encode()
        stored = list[str]()
        try:
            for name, written in (
                (keys_name(manifest.version), held),
                (signature_name(manifest.version), signed),
                (manifest_name(manifest.version), content),
            ):
                self._put_content(name, written)
                stored.append(name)
        except BaseException:
            with contextlib.suppress(VaultEtlError):
                self.clean(stored)
            raise
        return CurrentSet(manifest, sha256(content), self.store.names())

    @contextlib.contextmanager
    def recorded(self, current: CurrentSet, new: CurrentSet) -> Iterator[None]:
        """Let the block put a version on the record. If the record refuses it, its files are deleted.

        After another error, or a signal, they stay until another version is recorded: the record may name them,
        although its answer was lost.
        """
        try:
            yield
        except StoppedError:
            raise
        except IncompleteError:
            with contextlib.suppress(VaultEtlError):
                self.clean(new.own_names - current.own_names)
            raise

    def clean(self, names: Iterable[str]) -> None:
        """Delete these files, the manifests first, so that no manifest names a file that is gone."""
        for name in sorted(names, key=lambda each: (not each.startswith("manifest-"), each)):
            self.store.delete(name)

    def _put_content(self, name: str, content: bytes) -> None:
        path = self.folder / f"{uuid.uuid4().hex}.tmp"
        path.write_bytes(content)
        self.put(name, path)


def delete_set(store: ArchiveStore) -> None:
    """Delete the files of a set, the parts first, so that a second run continues an interrupted one.

    Raises IncompleteError if other files are left at this location, and what the store raises.
    """
    names = [name for name in store.names() if version_in(name) is not None]
    for name in sorted(names, key=lambda each: (not each.startswith("part-"), each)):
        store.delete(name)
    if left := store.names():
        message = f"other files are left at {store.location}: {', '.join(left)[:200]}"
        raise IncompleteError(message, hint="inspect them, and delete them by hand")


def _manifest_version(name: str) -> int | None:
    return version_in(name) if name.startswith("manifest-") and name.endswith(".json") else None
