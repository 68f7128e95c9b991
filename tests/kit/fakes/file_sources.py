"""The table of sources, in memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import override

from vault_etl.ingest.sources.open_lines import FileSource, FileSources, Load


@dataclass(frozen=True, slots=True)
class _Point:
    lines: int
    digest: bytes
    whole: bool = False


class FakeFileSources(FileSources):
    """`FileSources` in memory."""

    def __init__(self) -> None:
        self.known: dict[bytes, uuid.UUID] = {}
        self.points: dict[Load, _Point] = {}

    @override
    def find(self, known_by: bytes) -> FileSource:
        source_id = self.known.setdefault(known_by, uuid.uuid4())
        points = {p.lines for load, p in self.points.items() if load.source_id == source_id}
        return FileSource(source_id, tuple(points))

    @override
    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        there = [(other, p) for other, p in self._others(load) if p.lines == lines]
        if any(p.digest != digest for _, p in there):
            return False
        for other, point in there:
            if not point.whole:
                del self.points[other]
        if not any(p.whole and p.lines > lines for _, p in self._others(load)):
            self.points[load] = _Point(lines, digest)
        return True

    @override
    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        own = self.points.get(load, _Point(0, b""))
        known = {*agreed, own.lines}
        others = list(self._others(load))
        if any(p.lines > own.lines or p.lines not in known for _, p in others):
            return False
        for other, _ in others:
            del self.points[other]
        if own.lines:
            self.points[load] = dataclasses.replace(own, whole=True)
        return True

    def _others(self, load: Load) -> Iterator[tuple[Load, _Point]]:
        for other, point in list(self.points.items()):
            if other != load and other.source_id == load.source_id:
                yield other, point
