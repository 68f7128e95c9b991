"""Finish a set whose parts are all there: its keys, its signed manifest, and its line on the record."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import Column, Contents, GenerationCount, KeyCount, SetManifest
from vault_etl.archives.sets import CurrentSet, SetWriter
from vault_etl.base.errors import IncompleteError, StoppedError, VaultEtlError
from vault_etl.crypto.keys import StoredKey
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.keys.ring import KeyReader
from vault_etl.lake.seal import SealedPart, SetRegistry, totals
from vault_etl.lake.sealed_mark import ENDING
from vault_etl.platform.store import ArchiveStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSet:
    """Writes the first manifest of a set of `event`, whose declaration has the digest `declaration_sha256`."""

    vault_id: uuid.UUID
    set_id: uuid.UUID
    event: DeclaredEvent
    declaration_sha256: bytes
    columns: tuple[Column, ...]
    keys: KeyReader
    store: ArchiveStore
    writer: SetWriter
    registry: SetRegistry
    now: Callable[[], dt.datetime]
    tool: str

    def __call__(self, parts: Sequence[SealedPart]) -> CurrentSet:
        """Sign the parts, and record the set. Then delete what killed runs left.

        Raises IncompleteError if another run writes the set: its parts are not touched, and a manifest that the record
        refuses is deleted. Raises what the store, KMS and the registry raise.
        """
        rows, keys, generations = totals(parts)
        names = self.store.names()
        manifest = SetManifest(
            vault_id=self.vault_id,
            set_id=self.set_id,
            version=self.writer.next_version(n for n in names if not n.startswith("part-")),
            event=self.event.name,
            declaration_sha256=self.declaration_sha256,
            month=None,
            columns=self.columns,
            parts=tuple(sealed.part for sealed in parts),
            contents=Contents(rows, None, keys, generations),
            keys_sha256=bytes(32),
            made_at=self.now(),
            tool=self.tool,
        )
        current = self.writer.commit(manifest, KeysFile.of(self._needed(keys, generations)))
        try:
            self.registry.record(
                self.set_id, self.event.name, rows, keys, generations, current.sha256
            )
        except StoppedError:  # the record may have the manifest
            raise
        except IncompleteError:
            with contextlib.suppress(VaultEtlError):
                self.writer.clean(current.own_names - {part.part.name for part in parts})
            raise
        marks = [name for name in names if name.endswith(ENDING)]
        self.writer.clean({*marks, *current.leftovers})
        return current

    def _needed(
        self, keys: Sequence[KeyCount], generations: Sequence[GenerationCount]
    ) -> Sequence[StoredKey]:
        """Return the data keys of the values, and the token keys of their fields in the generations of the rows."""
        data = self.keys.keys({key.key_id for key in keys})
        named = {each.generation for each in generations}
        token = [
            key
            for field in {value.field.name for value in self.event.personal}
            for key in self.keys.field_token_keys(field)
            if key.generation in named
        ]
        return [*data, *token]
