"""Replace the parts of a set one by one. Each is a version of the set, which counts when the record names it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import (
    Contents,
    GenerationCount,
    KeyCount,
    Part,
    SetManifest,
    part_number,
    rewritten_part_name,
)
from vault_etl.archives.sets import CurrentSet, SetStore, SetWriter, mark_of
from vault_etl.base.errors import DataError, VaultEtlError

if TYPE_CHECKING:
    from vault_etl.archives.parquet_parts import WrittenPart


class Counts(NamedTuple):
    """The values of a part under each data key, and its rows of each generation of tokens."""

    keys: tuple[KeyCount, ...]
    generations: tuple[GenerationCount, ...]


class ChangedPart(NamedTuple):
    """A new part in the place of an old one: its file, the number of rows that changed, and the counts of both."""

    written: WrittenPart
    changed: int
    old: Counts
    new: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRewriter:
    """Writes the versions of one set. Nothing is overwritten, and nothing that the record names is deleted."""

    reader: SetStore
    writer: SetWriter
    folder: Path
    now: Callable[[], dt.datetime]
    tool: str

    def clean(self, current: CurrentSet) -> None:
        """Delete the files of this and older versions that it does not name: what it replaced, or a killed run left.

        `current` is on the record. A file of a higher version may be of a run that goes on: it stays.
        """
        self.writer.clean(current.leftovers)

    def again(self, current: CurrentSet) -> CurrentSet:
        """Return the same version, with the names that its place has now."""
        return dataclasses.replace(current, names=self.writer.store.names())

    def above(self, current: CurrentSet, keys: KeysFile) -> CurrentSet | None:
        """Write a version with the same parts, above the files of other runs; None if there are none.

        When the record has it, these runs fail, and their files are leftovers.
        """
        version = self.writer.next_version(current.names)
        if version == current.manifest.version + 1:
            return None
        manifest = dataclasses.replace(
            current.manifest, version=version, made_at=self.now(), tool=self.tool
        )
        return self.writer.commit(manifest, keys)

    def write(
        self,
        current: CurrentSet,
        at: int,
        change: Callable[[Path], ChangedPart],
        keys: Callable[[Contents], KeysFile],
    ) -> tuple[CurrentSet, int]:
        """Write the version that has another part at the index `at`; return it, and the number of changed rows.

        `change` writes the part into the file that it is given.

        The caller puts it on the record in a block of `SetWriter.recorded`, and then calls `clean`. If the version
        cannot be written, its files are deleted.

        Raises IncompleteError if another run wrote the same version, and what `change` raises.
        """
        version = self.writer.next_version(current.names)
        number = part_number(current.manifest.parts[at].name)
        name = rewritten_part_name(number, mark_of(version))
        changed = change(self.folder / name)
        self.writer.put(name, changed.written.path)
        try:
            manifest = self._manifest(current.manifest, at, version, changed)
            return self.writer.commit(manifest, keys(manifest.contents)), changed.changed
        except BaseException:
            with contextlib.suppress(VaultEtlError):
                self.writer.clean([name])
            raise

    def _manifest(
        self, old: SetManifest, at: int, version: int, changed: ChangedPart
    ) -> SetManifest:
        parts = (*old.parts[:at], changed.written.part, *old.parts[at + 1 :])
        return dataclasses.replace(
            old,
            version=version,
            parts=parts,
            contents=contents_after(old.contents, parts, changed.old, changed.new),
            made_at=self.now(),
            tool=self.tool,
        )


def contents_after(contents: Contents, parts: Iterable[Part], old: Counts, new: Counts) -> Contents:
    """Return the contents of a set in which a part with the counts `old` became one with the counts `new`.

    Raises DataError if the manifest counts fewer values than the part has.
    """
    keys = _after(_keys(contents.keys), _keys(old.keys), _keys(new.keys))
    generations = _after(
        _generations(contents.generations),
        _generations(old.generations),
        _generations(new.generations),
    )
    return Contents(
        rows=sum(part.rows for part in parts),
        sha256=None,
        keys=tuple(KeyCount(*key, count) for key, count in sorted(keys.items())),
        generations=tuple(GenerationCount(*each) for each in sorted(generations.items())),
    )


_K = TypeVar("_K")


def _keys(counts: Iterable[KeyCount]) -> Mapping[tuple[str, int], int]:
    return {(each.field, each.key_id): each.values for each in counts}


def _generations(counts: Iterable[GenerationCount]) -> Mapping[int, int]:
    return {each.generation: each.rows for each in counts}


def _after(
    all_: Mapping[_K, int], old: Mapping[_K, int], new: Mapping[_K, int]
) -> Mapping[_K, int]:
    found = Counter(all_)
    found.subtract(old)
    if min(found.values(), default=0) < 0:
        message = "a part has more values than the manifest of its set counts"
        raise DataError(message, hint="nothing was changed; take the set from a backup of it")
    found.update(new)
    return +found
