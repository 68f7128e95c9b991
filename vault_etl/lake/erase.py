"""Erase persons from a set: their tokens and ciphertexts become null, and the parts with them are written again."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import Contents
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.lake.entries import new_manifest, part_request, set_request
from vault_etl.lake.postgres import NewManifest
from vault_etl.lake.rewrite import ChangedPart, SetRewriter
from vault_etl.platform.clock import Progress

NOT_ERASED: Final = (
    "the user's id and the other plain columns; entries of the audit log",
    "copies of the files, and old versions of objects that a bucket keeps",
    "files that another run, or another program, wrote beside the set",
    "what was opened from the set before, and tokens that analysts saved",
    "records in the database: `vault-etl erase` erases them",
    "every backup of the sets",
)
"""Data that no erasure of sets reaches, as every certificate lists it (docs/how-to/lake.md)."""


@dataclass(frozen=True, slots=True)
class Erasures:
    """The persons and records to erase from a set, and the erasures on the record that wait for it."""

    subjects: frozenset[str]
    record_ids: frozenset[uuid.UUID]
    pending: tuple[int, ...]


class ErasureRecord(Protocol):
    """May put a version of a set on the record without the values of erased persons."""

    def erased(
        self, request: AuditRequest, new: NewManifest, erasures: Iterable[int], rows: int
    ) -> Head:
        """Replace the manifest and end these pending erasures, with intent and outcome, in one transaction.

        Raises IncompleteError if the record names another manifest by now.
        """


CountRows = Callable[[Erasures, Path], int]
"""Counts the rows of a part that have values to erase."""

EraseFrom = Callable[[Erasures, Path, Path], ChangedPart]
"""Writes a part without these values."""


@dataclass(frozen=True, slots=True)
class ErasedSet:
    """The result: the set as it is now, the parts that were written again, the erased rows, and the last entry."""

    current: CurrentSet
    parts: int
    rows: int
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseFromSet:
    """Erases from one set for `lake erase`. It opens no value, and needs no key but the one that signs manifests."""

    record: ErasureRecord
    rewriter: SetRewriter
    count: CountRows
    erase: EraseFrom
    progress: Progress

    def preview(self, current: CurrentSet, erasures: Erasures) -> tuple[int, int]:
        """Count the parts and the rows with values to erase, and change nothing."""
        found = [rows for _, _, rows in self._parts(current, erasures)]
        return len(found), sum(found)

    def __call__(self, request: AuditRequest, current: CurrentSet, erasures: Erasures) -> ErasedSet:
        """Erase, part by part. The pending erasures end when no file of the set has their values any more.

        Safe to repeat: a run that was killed is continued, and a set without such values is on the record too.
        Raises IncompleteError if another run changed the set, DataError and what the store raises.
        """
        self.rewriter.clean(current)
        held = self.rewriter.reader.keys(current)
        keys = functools.partial(keys_needed, held)
        parts = rows = 0
        for at, path, _ in self._parts(current, erasures):
            change = functools.partial(self.erase, erasures, path)
            new, changed = self.rewriter.write(current, at, change, keys)
            self._record(part_request(request, current, at), current, new, changed)
            current, parts, rows = new, parts + 1, rows + changed
        current = self.rewriter.again(current)
        if above := self.rewriter.above(current, keys(current.manifest.contents)):
            self._record(set_request(request, current), current, above, 0)
            current = above
        end = new_manifest(current, current)
        head = self.record.erased(set_request(request, current), end, erasures.pending, 0)
        return ErasedSet(current, parts, rows, head)

    def _record(
        self, request: AuditRequest, current: CurrentSet, new: CurrentSet, rows: int
    ) -> None:
        with self.rewriter.writer.recorded(current, new):
            self.record.erased(request, new_manifest(current, new), (), rows)
        self.rewriter.clean(new)

    def _parts(self, current: CurrentSet, erasures: Erasures) -> Iterator[tuple[int, Path, int]]:
        """Yield each part with values to erase: its index, its file, and the number of such rows."""
        for at, part in enumerate(current.manifest.parts):
            with self.rewriter.reader.part(part) as path:
                if rows := self.count(erasures, path):
                    yield at, path, rows
            self.progress.advance(part.rows, part=part.name)


def keys_needed(keys: KeysFile, contents: Contents) -> KeysFile:
    """Return those of the keys that values of these contents are under, and their token keys."""
    data: Collection[int] = {key.key_id for key in contents.keys}
    generations = {each.generation for each in contents.generations}
    return KeysFile.of(
        key for key in keys.held if key.key_id in data or key.generation in generations
    )
