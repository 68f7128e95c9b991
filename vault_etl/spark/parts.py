"""One part of a set, as a task gets it: fetched, and checked against the manifest that the driver named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vault_etl.app.lake_places import at_place
from vault_etl.app.partitions import Place
from vault_etl.archives.manifest import Part
from vault_etl.archives.sets import CurrentSet
from vault_etl.spark.process import process_vault


class OnePart(NamedTuple):
    """A part, its file, its set, and the place of the set."""

    part: Part
    path: Path
    current: CurrentSet
    place: Place


@dataclass(frozen=True, slots=True)
class SetJob:
    """The facts that executors are told of a set: its place, and the SHA-256 of the manifest that counts.

    It goes into a closure of Spark, and so does all that a subclass adds: no key, no credential, no value.
    """

    location: str
    manifest_sha256: bytes

    @contextlib.contextmanager
    def part(self, at: int) -> Iterator[OnePart]:
        """Fetch the part at this index. Raises DataError if anything of the set was changed."""
        with at_place(process_vault().parts, self.location) as place:
            current = place.reader.read(self.manifest_sha256)
            part = current.manifest.parts[at]
            with place.reader.part(part) as path:
                yield OnePart(part, path, current, place)
