"""The parts that a killed `lake seal` left, each proven by its mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from vault_etl.archives.manifest import part_name
from vault_etl.base.errors import DataError
from vault_etl.lake.seal import SealedPart
from vault_etl.lake.sealed_mark import MAX_MARK_BYTES, SealedMarks
from vault_etl.lake.source_records import Reached
from vault_etl.platform.store import ArchiveStore

T = TypeVar("T")

MAX_PART_BYTES: Final = 2**32
"""Bytes of a part at most: a run makes parts of a sixtieth of this."""


@dataclass(frozen=True, slots=True)
class KilledSeal:
    """Reads the parts of an unfinished set. `folder` holds one of them at a time."""

    store: ArchiveStore
    folder: Path
    marks: SealedMarks
    read: Callable[[Path], SealedPart]

    def parts(self) -> tuple[Sequence[SealedPart], Sequence[Reached]]:
        """Return the parts in their order, and how far the sources are sealed after each.

        Raises DataError for a part that was changed since it was sealed.
        """
        names = set(self.store.names())
        parts, reached = list[SealedPart](), list[Reached]()
        while (name := part_name(len(parts) + 1)) in names:
            sealed = self._fetched(name, MAX_PART_BYTES, self.read)
            mark = self.marks.name(sealed.part)
            after = None
            if mark in names:
                content = self._fetched(mark, MAX_MARK_BYTES, Path.read_bytes)
                after = self.marks.parse(sealed.part, content)
            if after is None:
                message = f"{name} was changed since a killed run sealed it"
                raise DataError(
                    message, hint="nothing was signed; delete the files, and seal at another place"
                )
            parts.append(sealed)
            reached.append(after)
        return parts, reached

    def _fetched(self, name: str, most_bytes: int, read: Callable[[Path], T]) -> T:
        path = self.folder / name
        self.store.get(name, path, most_bytes)
        try:
            return read(path)
        finally:
            path.unlink()
