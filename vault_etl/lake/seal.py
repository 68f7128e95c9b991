"""Seal the records of files into the parts of a new set. A run that was killed is continued by the next one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from vault_etl.archives.manifest import GenerationCount, KeyCount, Part, part_name
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import EventName
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.event.events import EventParser
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.lake.sealed_mark import SealedMarks
from vault_etl.lake.source_records import Reached, Records
from vault_etl.platform.clock import Progress
from vault_etl.platform.store import ArchiveStore
from vault_etl.records.messages import (
    Line,
    Message,
    RecordRange,
    RecordRanges,
    parse_message,
)

SEAL_ROWS: Final = 2_000
"""Events that are sealed at a time: their plaintext is held, and data keys are counted for them."""

MAX_REJECTED: Final = 500
"""Rejected records that are quarantined in one transaction."""

_FIRST_ID: Final = uuid.UUID(int=0)
_LAST_ID: Final = uuid.UUID(int=2**128 - 1)

Row = tuple[uuid.UUID, ParsedEvent]


@dataclass(frozen=True, slots=True)
class SealedPart:
    """A whole part, and the values and rows in it that need each key and each generation of token keys."""

    part: Part
    keys: tuple[KeyCount, ...]
    generations: tuple[GenerationCount, ...]


class Sources(Protocol):
    """Records that are not sealed yet: `SourceRecords`, or the rows of a task of Spark."""

    def pieces(self) -> Iterator[Records]:
        """Yield the records, each with its number in the set; the numbers rise."""

    def reached(self) -> Reached:
        """Return how far the pieces so far reach."""


class OpenPart(Protocol):
    """A part that rows are added to."""

    @property
    def size(self) -> int:
        """Bytes of the rows that it holds."""

    def add(self, rows: Sequence[Row]) -> None:
        """Seal these events. Raises the errors of KMS and of the store of keys."""

    def end(self, path: Path) -> SealedPart:
        """Write all rows into a new file."""


class SetRegistry(Protocol):
    """The sets that the database has on record."""

    def record(
        self,
        set_id: uuid.UUID,
        event: EventName,
        rows: int,
        keys: Iterable[KeyCount],
        generations: Iterable[GenerationCount],
        manifest_sha256: bytes | None = None,
    ) -> None:
        """Record the keys and generations that the set needs so far; with the hash of its manifest, the set is whole.

        Raises IncompleteError if a key is destroyed, or if another manifest is on record.
        """


class Quarantine(Protocol):
    """Keeps records that are not events."""

    def __call__(self, messages: Sequence[Message]) -> int:
        """Commit the messages to the quarantine; return how many are new. A message is there once."""


@dataclass(slots=True)
class Sealed:
    """The work of one run: records that were read, and what became of them."""

    records: int = 0
    rows: int = 0
    quarantined: int = 0
    already_quarantined: int = 0
    extra_fields: ExtraFields = field(default_factory=ExtraFields)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealParts:
    """Seals records into parts, each of which is whole once it is in the store. `folder` holds one part at a time."""

    set_id: uuid.UUID
    event: DeclaredEvent
    parser: EventParser
    sent: dt.date | None
    strict: bool
    registry: SetRegistry
    quarantine: Quarantine
    store: ArchiveStore
    folder: Path
    new_part: Callable[[], OpenPart]
    part_bytes: int
    progress: Progress
    name: Callable[[int], str] = part_name
    """The name of the part of this number, from 1."""
    marks: SealedMarks | None = None
    """None: no run continues this one."""

    def __call__(
        self, sources: Sources, before: Sequence[SealedPart]
    ) -> tuple[Sequence[SealedPart], Sealed]:
        """Seal what the parts from `before` do not have. Return all parts, and the counts of this run.

        Raises what the sources, the store, the registry and the quarantine raise. Parts that are whole stay.
        """
        run = _Run(self, list(before))
        for piece in sources.pieces():
            run.add(piece, sources.reached)
            self.progress.advance(len(piece))
        run.end(sources.reached())
        return run.parts, run.counts


class _Run:
    """One run: the part that is not whole yet, and the records that are not sealed yet."""

    def __init__(self, seal: SealParts, parts: list[SealedPart]) -> None:
        self.parts = parts
        self.counts = Sealed()
        self._seal = seal
        self._part = seal.new_part()
        self._events: list[Row] = []
        self._rejected: list[Message] = []
        self._ranges = RecordRanges([RecordRange(seal.event.name, _FIRST_ID, _LAST_ID)])
        self._sent_ms = first_millisecond(seal.sent) if seal.sent else 0

    def add(self, piece: Records, reached: Callable[[], Reached]) -> None:
        """Take the next records. `reached` tells how far they go, if a part ends with them."""
        for number, record in piece:
            self._take(number, record)
        self.counts.records += len(piece)
        if len(self._events) >= SEAL_ROWS:
            self._seal_events()
        if len(self._rejected) >= MAX_REJECTED:
            self._quarantine()
        if self._part.size >= self._seal.part_bytes:
            self.end(reached())

    def end(self, reached: Reached) -> None:
        """End the part. Before it is in the store, its rejected records are in quarantine, and its keys on record."""
        self._seal_events()
        self._quarantine()
        if not self._part.size:
            return
        seal = self._seal
        path = seal.folder / seal.name(len(self.parts) + 1)
        sealed = self._part.end(path)
        seal.registry.record(seal.set_id, seal.event.name, *totals([*self.parts, sealed]))
        if seal.marks is not None:
            mark = seal.folder / seal.marks.name(sealed.part)
            mark.write_bytes(seal.marks.encode(sealed.part, reached))
            _put(seal.store, mark)
        _put(seal.store, path)
        self.parts.append(sealed)
        self._part = seal.new_part()

    def _take(self, number: int, record: bytes) -> None:
        seal, handle = self._seal, str(number)
        place = Line(seal.set_id, number)
        message = Message(handle, handle, Pii(record), self._sent_ms, 1, place)
        parsed = parse_message(seal.parser, message, self._ranges, strict=seal.strict)
        if isinstance(parsed.content, ParsedEvent):
            self._events.append((parsed.record_id, parsed.content))
            if parsed.content.extra_fields:
                self.counts.extra_fields.add(parsed.content.extra_fields)
        else:
            self._rejected.append(message)

    def _seal_events(self) -> None:
        if self._events:
            self._part.add(self._events)
            self.counts.rows += len(self._events)
            self._events = []

    def _quarantine(self) -> None:
        if self._rejected:
            new = self._seal.quarantine(self._rejected)
            self.counts.quarantined += new
            self.counts.already_quarantined += len(self._rejected) - new
            self._rejected = []


def _put(store: ArchiveStore, path: Path) -> None:
    store.put(path.name, path)
    path.unlink()


def totals(
    parts: Iterable[SealedPart],
) -> tuple[int, tuple[KeyCount, ...], tuple[GenerationCount, ...]]:
    """Return the rows of all parts, the values under each key, and the rows of each generation, sorted."""
    rows, keys, generations = 0, Counter[tuple[str, int]](), Counter[int]()
    for part in parts:
        rows += part.part.rows
        for key in part.keys:
            keys[key.field, key.key_id] += key.values
        for each in part.generations:
            generations[each.generation] += each.rows
    return (
        rows,
        tuple(KeyCount(*key, values) for key, values in sorted(keys.items())),
        tuple(GenerationCount(*each) for each in sorted(generations.items())),
    )
