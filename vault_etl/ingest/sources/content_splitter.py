"""Content of any supported kind, split into numbered records. The beginning decides the kind."""

from __future__ import annotations

import json
import re
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.extra_fields import shown_name
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.content import FIRST_BYTES, foreign, refuse_foreign
from vault_etl.ingest.sources.csv_splitter import CsvSplitter, Header
from vault_etl.ingest.sources.splitters import JsonSplitter, LineSplitter, Splitter, ValueScan

FIRST_RECORDS: Final = 10
"""Number of records of which one must be a JSON object; otherwise nothing is loaded."""

HEAD_BYTES: Final = 2 * 1024 * 1024
"""Bytes after which undecided content counts as JSON lines. The longest record is 1 MiB."""

_BLANK: Final = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])*+")
_MARK_BEGUN: Final = (b"", b"\xef", b"\xef\xbb")
_REST_OF_LINE: Final = re.compile(rb"[ \t\r]*+")
_SCALAR: Final = (
    rb"(?:null|true|false|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
    rb'|"(?:[^"\\\n]|\\[^\n])*+")'
)

_SCALARS: Final = re.compile(rb"(?:" + _SCALAR + rb"[ \t\r\n]*+,(?:\xef\xbb\xbf|[ \t\r\n])*+)*+")
_ONE_SCALAR: Final = re.compile(_SCALAR)
_FOR_EXCEL: Final = re.compile(rb'"?sep=."?\r?', re.IGNORECASE)


class ContentSplitter(Splitter):
    """Splits JSON lines, other JSON, or CSV. Returns nothing until the kind is known.

    Holds the beginning until the kind is known and one record is an object, for at most
    `FIRST_RECORDS` or `HEAD_BYTES`. Raises DataError for content of another kind, before `digest`
    is given anything; and, without `keep_going`, if none of the first records is an object, or if
    the only record is an object around a list of objects. The cuts between pieces do not matter.
    """

    def __init__(
        self,
        name: str,
        events: KnownNames,
        digest: LineDigest | None = None,
        *,
        keep_going: bool = False,
    ) -> None:
        self._name = name
        self._events = events
        self._digest = digest
        self._keep_going = keep_going
        self._head = b""
        self._splitter: Splitter | None = None

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the records that end in this piece. Raises DataError, also as the kind's splitter does."""
        if self._splitter is not None:
            return self._splitter.feed(chunk)
        self._head += chunk
        return self._decide(at_end=False)

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the records that only the end of the content ends. Raises as `feed` does."""
        records = self._decide(at_end=True) if self._splitter is None else []
        return records + self._splitter.finish() if self._splitter is not None else records

    def _decide(self, *, at_end: bool) -> list[tuple[int, bytes]]:
        if len(self._head) < FIRST_BYTES and not at_end:
            return []
        refuse_foreign(self._name, self._head)
        must_decide = at_end or len(self._head) > HEAD_BYTES
        kind = self._kind(at_end=must_decide)
        if kind is None:
            return []
        if not self._keep_going:
            if isinstance(kind, Header):
                kind.check(self._name)
            trial = self._made(kind, None)
            records = trial.feed(self._head) + (trial.finish() if at_end else [])
            if not self._may_load(records[:FIRST_RECORDS], at_end=must_decide):
                return []
        self._splitter = self._made(kind, self._digest)
        head, self._head = self._head, b""
        return self._splitter.feed(head)

    def _kind(self, *, at_end: bool) -> Header | type[LineSplitter | JsonSplitter] | None:
        """Return the kind, or None if more content is needed. Raises DataError for unsupported CSV."""
        line = _first_line(self._head, at_end=at_end)
        if line is not None:
            if _FOR_EXCEL.fullmatch(line):
                raise foreign(self._name, "CSV with a line for Excel (sep=) first", "| tail -n +2")
            first, _, more = line.partition(b"\r")
            if more and Header.parse(first, self._events):
                what = "CSV with line ends of a carriage return alone"
                raise foreign(self._name, what, "| tr '\\r' '\\n'")
        return _kind(self._head, self._events, at_end=at_end)

    def _made(
        self, kind: Header | type[LineSplitter | JsonSplitter], digest: LineDigest | None
    ) -> Splitter:
        if isinstance(kind, Header):
            return CsvSplitter(self._name, kind, digest)
        if kind is JsonSplitter:
            return JsonSplitter(self._name, digest, keep_going=self._keep_going)
        return LineSplitter(self._name, digest)

    def _may_load(self, first: list[tuple[int, bytes]], *, at_end: bool) -> bool:
        """Return False if more content is needed. Raises DataError if no record can be an event."""
        if len(first) == 1 and (member := _list_in(first[0][1], self._events)) is not None:
            if not at_end:
                return False
            raise DataError(
                f"{self._name} is one object around a list of objects: nothing was loaded",
                hint=f"`jq -c '.{member}[]' FILE` makes lines of it; --keep-going quarantines it",
            )
        if any(_is_object(record) for _, record in first):
            return True
        if len(first) < FIRST_RECORDS and not at_end:
            return False
        if not first:
            return True
        none = (
            f"none of the first {len(first)} records of {self._name} is a JSON object"
            if len(first) > 1
            else f"the first record of {self._name} is not a JSON object"
        )
        raise DataError(
            f"{none}: nothing was loaded",
            hint=f"ingest reads JSON, and CSV with a header row ({', '.join(self._events.of_events[0])});"
            " --keep-going quarantines records that are not events",
        )


def _kind(
    head: bytes, events: KnownNames, *, at_end: bool
) -> Header | type[LineSplitter | JsonSplitter] | None:
    """Return the kind of content that begins with `head`, or None if more content is needed."""
    undecided = LineSplitter if at_end else None
    start, first = _next(_BLANK, head, 0)
    if not first:
        return undecided
    if first == b"\x1e":
        return JsonSplitter
    if first == b"[":
        return _kind_of_array(head, start, undecided)
    if first == b"{":
        return _kind_of_objects(head, start, undecided)
    line = _first_line(head, at_end=at_end)
    if line is None:
        return None
    return Header.parse(line.removesuffix(b"\r"), events) or LineSplitter


def _kind_of_array(
    head: bytes, start: int, undecided: type[LineSplitter] | None
) -> type[LineSplitter | JsonSplitter] | None:
    """Return JSON for an empty array, and for one with an object first, or after scalar values."""
    at, inner = _next(_BLANK, head, start + 1)
    if not inner:
        return undecided
    if inner == b"]":
        return JsonSplitter
    at, inner = _next(_SCALARS, head, at)
    if inner == b"{":
        return JsonSplitter
    scalar = _ONE_SCALAR.match(head, at)
    if scalar is None:
        return LineSplitter if b"\n" in head[at:] else undecided  # a scalar has no line end
    _, after = _next(_BLANK, head, scalar.end())
    return LineSplitter if after else undecided


def _first_line(head: bytes, *, at_end: bool) -> bytes | None:
    """Return the first line that is not blank, or None if its end is not in `head`."""
    start, _ = _next(_BLANK, head, 0)
    line, end, _ = head[start:].partition(b"\n")
    return line if end or at_end else None


def _kind_of_objects(
    head: bytes, start: int, undecided: type[LineSplitter] | None
) -> type[LineSplitter | JsonSplitter] | None:
    """Return JSON lines if the first value has a line of its own, or is not an object."""
    end = ValueScan().end(head, start)
    if end is None:
        return undecided
    if not _is_object(head[start:end]):
        return LineSplitter
    if b"\n" in head[start:end]:
        return JsonSplitter
    _, after = _next(_REST_OF_LINE, head, end)
    return (JsonSplitter if after in b"{[,\x1e" else LineSplitter) if after else undecided


def _next(blank: re.Pattern[bytes], head: bytes, at: int) -> tuple[int, bytes]:
    """Return the offset of the first byte after blanks, and that byte; b"" if a mark may begin there."""
    found = blank.match(head, at)
    at = found.end() if found else at
    return at, b"" if head[at:] in _MARK_BEGUN else head[at : at + 1]


def _is_object(record: bytes) -> bool:
    return _object(record) is not None


def _list_in(record: bytes, events: KnownNames) -> str | None:
    """Return the name, as it may be shown, of a list of objects in an object without event fields."""
    members = _object(record) or {}
    if not members.keys().isdisjoint(events.required):
        return None
    lists = (
        name
        for name, value in members.items()
        if isinstance(value, list)
        and len(value) > 1
        and all(isinstance(each, dict) for each in value)
    )
    found = next(lists, None)
    return None if found is None else shown_name(found, "NAME")


def _object(record: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(record, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
