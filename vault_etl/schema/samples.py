"""Sample events from a file: JSON, or CSV with any header row, as `ingest --file` reads them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.event.envelopes import inside
from vault_etl.event.events import MAX_ENVELOPES
from vault_etl.event.json_body import json_value
from vault_etl.event.known_names import KnownNames
from vault_etl.event.rejection import RejectedError
from vault_etl.ingest.sources.content import (
    STANDARD_INPUT,
    FileContent,
    LineContent,
    StreamContent,
    refuse_foreign,
)
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.ingest.sources.csv_splitter import CsvSplitter, Header
from vault_etl.ingest.sources.splitters import BLANK, BYTE_ORDER_MARK, Splitter

_HEAD_BYTES: Final = 64 * 1024
"""The bytes in which the header row of CSV must end."""

_JSON: Final = (b"{", b"[", b"\x1e")
_WAIT_S: Final = 1.0
_UNKNOWN: Final = KnownNames(frozenset(), ((),))
"""The names of events that are not declared yet."""


@dataclass(frozen=True, slots=True)
class SampleEvents:
    """Events without their envelopes, and the number of records beside them that are not JSON objects.

    A number is the `bytes` of its spelling, as in `json_value`.
    """

    events: tuple[Mapping[str, object], ...]
    others: int


def sample_events(name: str, most: int) -> SampleEvents:
    """Read at most so many records from the beginning of a file, or of standard input for `-`.

    Raises DataError if no record is an event, and what `FileContent` raises.
    """
    content: LineContent = (
        StreamContent(0, "standard input") if name == STANDARD_INPUT else FileContent(name)
    )
    try:
        records = _first(_records(content), most)
    finally:
        content.close()
    found = [_event_in(record) for record in records]
    events = tuple(event for event in found if event is not None)
    if not events:
        message = f"none of the first {len(found):,} records of {content.name} is a JSON object"
        raise DataError(message, hint="sample events are JSON, or CSV with a header row")
    return SampleEvents(events, len(found) - len(events))


def _first(records: Iterator[bytes], most: int) -> list[bytes]:
    return [record for _, record in zip(range(most), records, strict=False)]


def _records(content: LineContent) -> Iterator[bytes]:
    """Split the content. The kind is that of its first line."""
    pieces = _pieces(content)
    head = b""
    for piece in pieces:
        head += piece
        if b"\n" in head.lstrip(BYTE_ORDER_MARK + BLANK) or len(head) > _HEAD_BYTES:
            break
    refuse_foreign(content.name, head)
    splitter = _splitter(content.name, head)
    for piece in itertools.chain([head], pieces):
        yield from (record for _, record in splitter.feed(piece))
    yield from (record for _, record in splitter.finish())


def _pieces(content: LineContent) -> Iterator[bytes]:
    while (piece := content.read(_WAIT_S)) != b"":
        if piece is not None:
            yield piece


def _splitter(name: str, head: bytes) -> Splitter:
    line = head.removeprefix(BYTE_ORDER_MARK).lstrip(BLANK).partition(b"\n")[0]
    header = None if line.startswith(_JSON) else Header.of_any(line.removesuffix(b"\r"))
    if header:
        return CsvSplitter(name, header)
    return ContentSplitter(name, _UNKNOWN, keep_going=True)


def _event_in(record: bytes) -> Mapping[str, object] | None:
    """Return the object in the record, without its envelopes; None if there is no such object."""
    try:
        value = json_value(record)
        for _ in range(MAX_ENVELOPES):
            inner = inside(value)
            if inner is None:
                break
            value = json_value(inner.encode()) if isinstance(inner, str) else inner
    except (RejectedError, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None
