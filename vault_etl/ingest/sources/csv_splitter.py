"""CSV (RFC 4180) with a header row, split into rows, each as a JSON object of text.

The format is defined in docs/formats.md, Files.
"""

from __future__ import annotations

import collections
import csv
import json
import re
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.extra_fields import OTHERS, shown_names
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.splitters import (
    BLANK,
    BYTE_ORDER_MARK,
    MAX_BLANK_BYTES,
    MAX_LINE_BYTES,
    Splitter,
)

_DELIMITERS: Final = ",;\t|"
_QUOTED: Final = re.compile(rb'(?:[^"]++|"")*+')
_ENOUGH: Final = 2
"""Number of known names that make a first line a header row."""


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the header row, the delimiter of the cells, and the names of declared events."""

    names: tuple[str, ...]
    delimiter: str
    events: KnownNames

    @classmethod
    def parse(cls, line: bytes, events: KnownNames) -> Header | None:
        """Return the header row in this line, or None if the line is not a header row."""
        found = [header for d in _DELIMITERS if (header := cls._of(line, d, events)) is not None]
        return max(found, key=lambda header: len(header.names), default=None)

    @classmethod
    def _of(cls, line: bytes, delimiter: str, events: KnownNames) -> Header | None:
        rows = _parsed(line, delimiter)
        names = tuple(name.strip() for name in rows[0]) if len(rows) == 1 else ()
        is_header = len(events.known.intersection(names)) >= _ENOUGH
        return cls(names, delimiter, events) if is_header else None

    @classmethod
    def of_any(cls, line: bytes) -> Header | None:
        """Return the header row of CSV with any names, two at least; None if the line is no such row."""
        found = []
        for delimiter in _DELIMITERS:
            rows = _parsed(line, delimiter)
            names = tuple(name.strip() for name in rows[0]) if len(rows) == 1 else ()
            if len(names) > 1 and all(names):
                found.append(cls(names, delimiter, KnownNames(frozenset(names), ((),))))
        return max(found, key=lambda header: len(header.names), default=None)

    def check(self, content: str) -> None:
        """Raise DataError for a name that is missing or repeated."""
        counts = collections.Counter(self.names)
        missing, required = self.events.missing(frozenset(counts))
        if missing:
            message = f"the header row of {content} has no {', '.join(missing)}: nothing was loaded"
            hint = f"the required names: {', '.join(required)}"
            raise DataError(message, hint=hint)
        twice = [name for name, count in counts.items() if name and count > 1]
        if twice:
            shown = shown_names(twice[:1])[0]
            what = "another name" if shown == OTHERS else shown
            message = f"the header row of {content} has {what} twice: nothing was loaded"
            raise DataError(message, hint="rename or remove one of the two columns")


class CsvSplitter(Splitter):
    """Splits CSV into rows. The number of a row is that of its first line: the header row is line 1.

    A row with another number of cells than the header row, or with invalid UTF-8, is kept byte for
    byte. A row of empty cells is skipped like a blank line. `digest` is given every line.
    """

    def __init__(self, name: str, header: Header, digest: LineDigest | None = None) -> None:
        self._name = name
        self._header = header
        self._required = frozenset(header.events.required)
        self._digest = digest
        self._number = 0
        self._rest = b""
        self._has_header = False
        self._first = 0
        self._open: list[bytes] = []
        self._size = 0
        self._blank_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the rows that end in this piece. Raises DataError as `LineSplitter.feed`, for rows."""
        *ended, self._rest = (self._rest + chunk).split(b"\n")
        if self._digest is not None:
            self._digest.add(ended)
        rows = [row for line in ended for row in self._ended(line)]
        if self._size + len(self._rest) > MAX_LINE_BYTES:
            raise self._too_long(self._first if self._open else self._number + 1)
        self._blank_bytes = 0 if rows or self._open else self._blank_bytes + len(chunk)
        if self._blank_bytes > MAX_BLANK_BYTES:
            message = f"more than {MAX_BLANK_BYTES // 1024**2} MiB of empty rows in {self._name}"
            raise DataError(message, hint="remove the empty rows to load the others")
        return rows

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the last row, if a quote or a line is open. Raises as `feed` does."""
        rows = self.feed(b"\n") if self._rest else []
        return rows + ([self._raw()] if self._open else [])

    def _ended(self, line: bytes) -> list[tuple[int, bytes]]:
        """Return the row that ends with this line, if any."""
        self._number += 1
        if not self._open:
            self._first = self._number
            line = line.removeprefix(BYTE_ORDER_MARK)
            if not line.strip(BLANK):
                return []
        is_open = _is_open(line, self._header.delimiter.encode(), within=bool(self._open))
        self._open.append(line)
        self._size += len(line) + 1
        if self._size - 1 > MAX_LINE_BYTES:
            raise self._too_long(self._first)
        return [] if is_open else self._row()

    def _too_long(self, number: int) -> DataError:
        return DataError(
            f"the row of line {number} of {self._name} is longer than {MAX_LINE_BYTES:,} bytes",
            hint="a quote in this row may be unclosed",
        )

    def _row(self) -> list[tuple[int, bytes]]:
        number, content = self._raw()
        if not self._has_header:
            self._has_header = True
            return []
        rows = _parsed(content, self._header.delimiter)
        names = self._header.names
        if len(rows) != 1 or len(rows[0]) != len(names):
            return [(number, content)]
        if not any(rows[0]):
            return []
        cells = [
            (name or f"column {column}", cell)
            for column, (name, cell) in enumerate(zip(names, rows[0], strict=True), 1)
            if cell or name in self._required
        ]
        members = (f"{json.dumps(n)}: {json.dumps(c, ensure_ascii=False)}" for n, c in cells)
        return [(number, f"{{{', '.join(members)}}}".encode())]

    def _raw(self) -> tuple[int, bytes]:
        content = b"\n".join(self._open).removesuffix(b"\r")
        self._open, self._size = [], 0
        return self._first, content


def _parsed(content: bytes, delimiter: str) -> list[list[str]]:
    """Return the rows of the content; none if it is not UTF-8 or not CSV."""
    try:
        lines = [f"{line}\n" for line in content.decode().split("\n")]
        return list(csv.reader(lines, delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return []


def _is_open(line: bytes, delimiter: bytes, *, within: bool) -> bool:
    """Tell whether a quoted cell continues on the next line. A quote within other text is text."""
    at = 0
    if not within and line.startswith(b'"'):
        within, at = True, 1
    while True:
        if within:
            found = _QUOTED.match(line, at)
            at = found.end() if found else at
            if at == len(line):
                return True
        at = line.find(delimiter, at) + 1
        if not at:
            return False
        within = line.startswith(b'"', at)
        at += within
