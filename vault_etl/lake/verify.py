"""Verify a set: its signed manifest, each file that it names, and the rows in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import SetManifest
from vault_etl.archives.sets import CurrentSet, SetStore
from vault_etl.base.errors import DataError
from vault_etl.platform.clock import Progress

if TYPE_CHECKING:
    from vault_etl.archives.parquet_parts import ValueCounts

CountPart = Callable[[Path, SetManifest, "ValueCounts"], None]
"""Counts the rows of a part. Raises DataError for rows that are not sorted, or a file that is not of the set."""


@dataclass(frozen=True, slots=True)
class VerifiedSet:
    """A set that is as its manifest says."""

    current: CurrentSet
    lost_values: int
    """Values whose data keys are not in the file of keys: they were destroyed."""

    @property
    def bytes(self) -> int:
        """The size of all parts."""
        return sum(part.size for part in self.current.manifest.parts)

    @property
    def other_files(self) -> int:
        """Files in the place that the manifest does not name: what a killed run left, or files of others."""
        return len(set(self.current.names) - self.current.own_names)


@dataclass(frozen=True, slots=True)
class VerifySet:
    """Reads a whole set, a part at a time."""

    reader: SetStore
    new_counts: Callable[[], ValueCounts]
    count_part: CountPart
    progress: Progress

    def __call__(self, recorded: bytes | None) -> VerifiedSet:
        """Verify the version whose manifest has this SHA-256, or for None the highest version.

        Raises NotFoundError without a set, DataError for one that was changed.
        """
        current = self.reader.read(recorded)
        manifest, keys = current.manifest, self.reader.keys(current)
        counts = self.new_counts()
        for part in manifest.parts:
            before = counts.rows
            with self.reader.part(part) as path:
                self.count_part(path, manifest, counts)
            if counts.rows - before != part.rows:
                raise self._differs(f"{part.name} has {counts.rows - before} rows")
            self.progress.advance(part.rows)
        contents = manifest.contents
        if (counts.keys(), counts.generations()) != (contents.keys, contents.generations):
            raise self._differs("values are sealed under other keys, or have tokens of others")
        return VerifiedSet(current, _lost(manifest, keys))

    def _differs(self, what: str) -> DataError:
        message = f"the set at {self.reader.location} differs from its manifest: {what}"
        return DataError(message, hint="take the set from a backup of it")


def _lost(manifest: SetManifest, keys: KeysFile) -> int:
    values = Counter[int]()
    for each in manifest.contents.keys:
        values[each.key_id] += each.values
    held = {key.key_id for key in keys.keys(values)}
    return sum(count for key_id, count in values.items() if key_id not in held)
