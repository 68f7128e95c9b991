"""Content of any kind that is read, split into numbered records: what kind it is, its beginning says."""

from __future__ import annotations

import json
import re
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.events import REQUIRED
from vault_etl.event.extra_fields import shown_name
from vault_etl.ingest.sources.content import FIRST_BYTES, foreign, refuse_foreign
from vault_etl.ingest.sources.csv_splitter import CsvSplitter, Header
from vault_etl.ingest.sources.splitters import JsonSplitter, LineSplitter, Splitter, ValueScan

FIRST_RECORDS: Final = 10
"""If none of so many is a JSON object, nothing is loaded."""

LOOK_BYTES: Final = 2 * 1024 * 1024
"""What is not known by then is taken for JSON lines. The longest record is 1 MiB."""

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


class ContentSplitter:
    """`Splitter` of JSON lines, other JSON, or CSV. Hands out nothing until it has looked.

    Holds the beginning until the kind is known and one record is an object: `FIRST_RECORDS`, or
    `LOOK_BYTES`. Raises DataError for content that is none of these, before `digest` is given anything:
    unless `keep_going`, also if none of the first records is an object, or the only one is around a
    list of objects. Where the content is cut into pieces does not matter.
    """

    def __init__(
        self, name: str, digest: LineDigest | None = None, *, keep_going: bool = False
    ) -> None:
        self._name = name
        self._digest = digest
        self._keep_going = keep_going
        self._head = b""
        self._splitter: Splitter | None = None

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """See `Splitter.feed`. Raises DataError, also as the splitter of the kind does."""
        if self._splitter is not None:
            return self._splitter.feed(chunk)
        self._head += chunk
        return self._look(at_end=False)

    def finish(self) -> list[tuple[int, bytes]]:
        """See `Splitter.finish`. Raises as `feed` does."""
        records = self._look(at_end=True) if self._splitter is None else []
        return records + self._splitter.finish() if self._splitter is not None else records

    def _look(self, *, at_end: bool) -> list[tuple[int, bytes]]:
        if len(self._head) < FIRST_BYTES and not at_end:
            return []
        refuse_foreign(self._name, self._head)
        at_end_of_look = at_end or len(self._head) > LOOK_BYTES
        kind = self._kind(at_end=at_end_of_look)
        if kind is None:
            return []
        if not self._keep_going:
            if isinstance(kind, Header):
                kind.check(self._name)
            trial = self._made(kind, None)
            records = trial.feed(self._head) + (trial.finish() if at_end else [])
            if not self._may_load(records[:FIRST_RECORDS], at_end=at_end_of_look):
                return []
        self._splitter = self._made(kind, self._digest)
        head, self._head = self._head, b""
        return self._splitter.feed(head)

    def _kind(self, *, at_end: bool) -> Header | type[LineSplitter | JsonSplitter] | None:
        """What the content is, or None if more must be seen. Raises DataError for CSV that is not read."""
        line = _first_line(self._head, at_end=at_end)
        if line is not None:
            if _FOR_EXCEL.fullmatch(line):
                raise foreign(self._name, "CSV with a line for Excel (sep=) first", "| tail -n +2")
            first, _, more = line.partition(b"\r")
            if more and Header.parse(first):
                what = "CSV with line ends of a carriage return alone"
                raise foreign(self._name, what, "| tr '\\r' '\\n'")
        return _kind(self._head, at_end=at_end)

    def _made(
        self, kind: Header | type[LineSplitter | JsonSplitter], digest: LineDigest | None
    ) -> Splitter:
        if isinstance(kind, Header):
            return CsvSplitter(self._name, kind, digest)
        if kind is JsonSplitter:
            return JsonSplitter(self._name, digest, keep_going=self._keep_going)
        return LineSplitter(self._name, digest)

    def _may_load(self, first: list[tuple[int, bytes]], *, at_end: bool) -> bool:
        """False if more of the content must be seen. Raises DataError if no record may be an event."""
        if len(first) == 1 and (member := _list_in(first[0][1])) is not None:
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
            else f"the first record of {self._name} is no JSON object"
        )
        raise DataError(
            f"{none}: nothing was loaded",
            hint=f"JSON, and CSV with a header row ({', '.join(REQUIRED)}), are read;"
            " --keep-going quarantines what is no event",
        )


def _kind(head: bytes, *, at_end: bool) -> Header | type[LineSplitter | JsonSplitter] | None:
    """What content is that begins so, or None if more must be seen: by the content alone."""
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
    return Header.parse(line.removesuffix(b"\r")) or LineSplitter


def _kind_of_array(
    head: bytes, start: int, undecided: type[LineSplitter] | None
) -> type[LineSplitter | JsonSplitter] | None:
    """An array if it is empty, or has an object in it, first or behind values that are none."""
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
        return LineSplitter if b"\n" in head[at:] else undecided  # no scalar holds a line end
    _, after = _next(_BLANK, head, scalar.end())
    return LineSplitter if after else undecided


def _first_line(head: bytes, *, at_end: bool) -> bytes | None:
    """The first line that is not blank, or None if its end must still be seen."""
    start, _ = _next(_BLANK, head, 0)
    line, end, _ = head[start:].partition(b"\n")
    return line if end or at_end else None


def _kind_of_objects(
    head: bytes, start: int, undecided: type[LineSplitter] | None
) -> type[LineSplitter | JsonSplitter] | None:
    """JSON lines if the first object has a line of its own, or is none."""
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
    """Where the first byte after blanks is, and that byte; nothing if a mark may have begun there."""
    found = blank.match(head, at)
    at = found.end() if found else at
    return at, b"" if head[at:] in _MARK_BEGUN else head[at : at + 1]


def _is_object(record: bytes) -> bool:
    return _object(record) is not None


def _list_in(record: bytes) -> str | None:
    """The name of a list of several objects in an object without any field of an event, as it may be shown."""
    members = _object(record) or {}
    if not members.keys().isdisjoint(REQUIRED):
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
