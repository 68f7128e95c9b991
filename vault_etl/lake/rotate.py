"""Re-encrypt the values of a set under new data keys, and make its tokens again in the active generation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import Contents, SetManifest
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, intended
from vault_etl.audit.opening import Opener
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.ring import KeyReader
from vault_etl.lake.entries import new_manifest, part_request
from vault_etl.lake.postgres import NewManifest
from vault_etl.lake.rewrite import ChangedPart, SetRewriter
from vault_etl.platform.clock import Progress


class RotationRecord(Protocol):
    """May put a rotated version of a set on the record."""

    def rotated(self, receipt: AuditReceipt, new: NewManifest) -> Head:
        """Replace the manifest, with the outcome, in one transaction; return the head of the log.

        Raises IncompleteError if the record names another manifest by now, or if a new key is not in use any more.
        """


@dataclass(frozen=True, slots=True)
class NeededKeys:
    """The keys of the vault that a set needs, as the vault has them now."""

    reader: KeyReader
    fields: Sequence[FieldName]

    def __call__(self, contents: Contents) -> KeysFile:
        """Return the data keys of the values, and the token keys of the generations that rows name."""
        generations = {each.generation for each in contents.generations}
        return KeysFile.of(
            [
                *self.reader.keys({key.key_id for key in contents.keys}),
                *(
                    key
                    for field in self.fields
                    for key in self.reader.field_token_keys(field)
                    if key.generation in generations
                ),
            ]
        )

    def active(self, contents: Contents) -> frozenset[int]:
        """Return the ids of those data keys that are active: values under others are to be re-encrypted."""
        keys = self.reader.keys({key.key_id for key in contents.keys})
        return frozenset(key.key_id for key in keys if key.state is KeyState.ACTIVE)

    def generation(self) -> int:
        """Return the active generation of the token keys; 0 if there is none yet."""
        keys = self.reader.token_keys()
        return next((key.generation or 0 for key in keys if key.state is KeyState.ACTIVE), 0)


def needs_rotation(manifest: SetManifest, keys: NeededKeys) -> bool:
    """Tell from the manifest whether a part needs a rotation."""
    contents = manifest.contents
    active, generation = keys.active(contents), keys.generation()
    return any(key.key_id not in active for key in contents.keys) or any(
        each.generation != generation for each in contents.generations
    )


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result: the set as it is now, the parts that were written, and their rows."""

    current: CurrentSet
    parts: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSet:
    """Rotates a set for `lake rotate`: each part is opened, written and put on the record by itself."""

    audit: AuditLog
    sign: Callable[[Head], object]
    record: RotationRecord
    rewriter: SetRewriter
    keys: NeededKeys
    needs: Callable[[Path], bool]
    change: Callable[[Opener, Path, Path], ChangedPart]
    progress: Progress

    def __call__(self, request: AuditRequest, current: CurrentSet) -> Rotated:
        """Rotate the parts that need it, in their order. A run that was killed repeats one part at most.

        Raises IntegrityError if a value does not open: the parts before it are done. Raises IncompleteError if another
        run changed the set, AuditError, DataError, UnusableKeyError, KeyUnavailableError and what the store raises.
        """
        self.rewriter.clean(current)
        parts = rows = 0
        for at, part in enumerate(current.manifest.parts):
            with self.rewriter.reader.part(part) as path:
                if self.needs(path):
                    current = self._rotate(part_request(request, current, at), current, at, path)
                    parts, rows = parts + 1, rows + part.rows
            self.progress.advance(part.rows, part=part.name)
        return Rotated(current, parts, rows)

    def _rotate(
        self, request: AuditRequest, current: CurrentSet, at: int, path: Path
    ) -> CurrentSet:
        with intended(self.audit, request) as receipt:
            change = functools.partial(self.change, Opener(receipt), path)
            new, _ = self.rewriter.write(current, at, change, self.keys)
            with self.rewriter.writer.recorded(current, new):
                head = self.record.rotated(receipt, new_manifest(current, new))
        self.rewriter.clean(new)
        self.sign(head)
        return new
