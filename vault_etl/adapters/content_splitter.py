"""Content of any kind that is read, split into numbered records: what kind it is, its beginning says."""

from __future__ import annotations

import json
import re
from typing import Final, Protocol

from vault_etl.adapters.csv_splitter import CsvSplitter, Header
from vault_etl.adapters.foreign_content import FIRST_BYTES, refuse_foreign
from vault_etl.adapters.json_splitter import JsonSplitter, ValueScan
from vault_etl.adapters.line_splitter import LineSplitter
from vault_etl.core.events import REQUIRED
from vault_etl.core.extra_fields import shown_name
from vault_etl.core.source_digest import LineDigest
from vault_etl.errors import DataError

FIRST_RECORDS: Final = 10
"""If none of so many is a JSON object, nothing is loaded."""

LOOK_BYTES: Final = 2 * 1024 * 1024
"""What is not known by then is taken for JSON lines. The longest record is 1 MiB."""

_BLANK: Final = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])*+")
_MARK_BEGUN: Final = (b"", b"\xef", b"\xef\xbb")
_REST_OF_LINE: Final = re.compile(rb"[ \t\r]*+")


class Splitter(Protocol):
    """Content, as it comes in pieces, split into records."""

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The records that end in this piece, each with its number."""

    def finish(self) -> list[tuple[int, bytes]]:
        """The records that nothing but the end of the content ends."""


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
        kind = _kind(self._head, at_end=at_end_of_look)
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
        _, inner = _next(_BLANK, head, start + 1)
        return (JsonSplitter if inner in b"{]" else LineSplitter) if inner else undecided
    if first == b"{":
        return _kind_of_objects(head, start, undecided)
    line, end, _ = head[start:].partition(b"\n")
    if not end and not at_end:
        return None
    return Header.parse(line.removesuffix(b"\r")) or LineSplitter


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
