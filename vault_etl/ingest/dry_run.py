"""Checks the lines of a file without storing any: the counts of `ingest --file --dry-run`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.event.events import EventParser
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.event.known_names import KnownNames
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.ingest.sources.content import STANDARD_INPUT, FileContent, LineContent, StreamContent
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.records.messages import Line, Message, RecordRange, RecordRanges, parse_message

_WAIT_S: Final = 5.0

FIRST_NUMBERS: Final = 5
"""Number of lines that are named for each reason."""

_FIRST_ID: Final = uuid.UUID(int=0)
_LAST_ID: Final = uuid.UUID(int=2**128 - 1)
_NO_SOURCE: Final = uuid.UUID(int=0)


@dataclass(slots=True)
class Rejected:
    """The lines that `ingest` would quarantine for one reason at one path."""

    count: int = 0
    first: list[int] = field(default_factory=list)
    """The numbers of the first lines, at most `FIRST_NUMBERS`."""


@dataclass(slots=True)
class Judgement:
    """The result of `ingest` for these lines, except for what only the database knows."""

    parser: EventParser
    events: int = 0
    extra_fields: ExtraFields = field(default_factory=ExtraFields)
    """Unknown fields that would be dropped."""
    rejected: dict[tuple[str, str], Rejected] = field(default_factory=dict)
    """By reason code and path."""

    @property
    def quarantined(self) -> int:
        """The number of lines that are not events."""
        return sum(rejected.count for rejected in self.rejected.values())

    def add(
        self, lines: Iterable[tuple[int, bytes]], sent: dt.date | None, *, strict: bool
    ) -> None:
        """Check the next lines, each given with its number."""
        sent_ms = 0 if sent is None else first_millisecond(sent)
        ranges = RecordRanges(RecordRange(e.name, _FIRST_ID, _LAST_ID) for e in self.parser.events)
        for number, line in lines:
            handle = str(number)
            message = Message(handle, handle, Pii(line), sent_ms, line=Line(_NO_SOURCE, number))
            content = parse_message(self.parser, message, ranges, strict=strict).content
            if isinstance(content, ParsedEvent):
                self.events += 1
                if content.extra_fields:
                    self.extra_fields.add(content.extra_fields)
                continue
            rejected = self.rejected.setdefault((content.reason.value, content.path), Rejected())
            rejected.count += 1
            if len(rejected.first) < FIRST_NUMBERS:
                rejected.first.append(number)

    def summary(self) -> dict[str, object]:
        """Return the counts by name."""
        return {
            "records": self.events + self.quarantined,
            "events": self.events,
            "quarantined": self.quarantined,
            "extra_fields": self.extra_fields.total,
            "extra_field_names": self.extra_fields.most(),
        }

    def rows(self) -> Sequence[dict[str, object]]:
        """Return one row for each reason and path, the most frequent first."""
        found = sorted(self.rejected.items(), key=lambda item: -item[1].count)
        return [
            {"reason_code": reason, "path": path, "count": r.count, "first": r.first}
            for (reason, path), r in found
        ]


def records_of(
    name: str, events: KnownNames, *, keep_going: bool
) -> Iterator[list[tuple[int, bytes]]]:
    """The records of a file or of standard input, piece by piece, each with its number. Raises as `open`."""
    content: LineContent = (
        StreamContent(0, "standard input") if name == STANDARD_INPUT else FileContent(name)
    )
    splitter = ContentSplitter(content.name, events, keep_going=keep_going)
    with closing(content):
        while (chunk := content.read(_WAIT_S)) != b"":
            yield splitter.feed(chunk) if chunk else []
        yield splitter.finish()
