"""The sources that lines were loaded from: which are known, and how far each was loaded."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FileSource:
    """A source. `points` are the line counts at which a load must agree with earlier ones."""

    source_id: uuid.UUID
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a source."""

    load_id: uuid.UUID
    source_id: uuid.UUID


class FileSources(Protocol):
    """May find sources, and say how far they are loaded. Reads no digest."""

    def find(self, known_by: bytes) -> FileSource:
        """The source that is known by this digest of 32 bytes; it is drawn if there is none."""

    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        """Commit that a load may have stored so many lines, of this digest, from now on.

        False, and nothing is committed, if another load had other lines there.
        """

    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        """Commit that all lines which the load has reached are stored.

        False, and nothing is committed, if other loads of the source reached further, or a point
        that is not among `agreed`.
        """
