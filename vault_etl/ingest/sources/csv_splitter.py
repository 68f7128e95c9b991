"""CSV (RFC 4180) with a header row, as JSON objects of text: docs/formats.md, Files."""

from __future__ import annotations

import collections
import csv
import json
import re
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.event.events import KNOWN, REQUIRED
from vault_etl.event.extra_fields import OTHERS, shown_names
from vault_etl.ingest.sources.splitters import (
    BLANK,
    BYTE_ORDER_MARK,
    MAX_BLANK_BYTES,
    MAX_LINE_BYTES,
)

_DELIMITERS: Final = ",;\t|"
_QUOTED: Final = re.compile(rb'(?:[^"]++|"")*+')
_ENOUGH: Final = 2
"""Known names in a first line, so that it is a header row."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first row names."""

    names: tuple[str, ...]
    delimiter: str

    @classmethod
    def parse(cls, line: bytes) -> Header | None:
        """The header row that this line is, or None."""
        found = [header for d in _DELIMITERS if (header := cls._of(line, d)) is not None]
        return max(found, key=lambda header: len(header.names), default=None)

    @classmethod
    def _of(cls, line: bytes, delimiter: str) -> Header | None:
        rows = _parsed(line, delimiter)
        names = tuple(name.strip() for name in rows[0]) if len(rows) == 1 else ()
        return cls(names, delimiter) if len(KNOWN.intersection(names)) >= _ENOUGH else None

    def check(self, content: str) -> None:
        """Raise DataError for a name that is missing, or there twice."""
        counts = collections.Counter(self.names)
        missing = [name for name in REQUIRED if name not in counts]
        if missing:
            message = f"the header row of {content} has no {', '.join(missing)}: nothing was loaded"
            hint = f"the names that it needs: {', '.join(REQUIRED)}"
            raise DataError(message, hint=hint)
        twice = [name for name, count in counts.items() if name and count > 1]
        if twice:
            shown = shown_names(twice[:1])[0]
            what = "another name" if shown == OTHERS else shown
            message = f"the header row of {content} has {what} twice: nothing was loaded"
            raise DataError(message, hint="rename one of the two columns, or take it out")


class CsvSplitter:
    """Rows, each numbered as the line on which it begins: the header row is line 1.

    A row that has not as many cells as the header row, or is no UTF-8, is kept byte for byte. A row of
    empty cells is skipped as a blank line is. `digest` is given every line.
    """

    def __init__(self, name: str, header: Header, digest: LineDigest | None = None) -> None:
        self._name = name
        self._header = header
        self._digest = digest
        self._number = 0
        self._rest = b""
        self._has_header = False
        self._first = 0
        self._open: list[bytes] = []
        self._size = 0
        self._blank_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The rows that end in this piece. Raises DataError as `LineSplitter.feed`, of rows."""
        *ended, self._rest = (self._rest + chunk).split(b"\n")
        if self._digest is not None:
            self._digest.add(ended)
        rows = [row for line in ended for row in self._ended(line)]
        if self._size + len(self._rest) > MAX_LINE_BYTES:
            raise self._too_long(self._first if self._open else self._number + 1)
        self._blank_bytes = 0 if rows or self._open else self._blank_bytes + len(chunk)
        if self._blank_bytes > MAX_BLANK_BYTES:
            message = f"more than {MAX_BLANK_BYTES // 1024**2} MiB of empty rows in {self._name}"
            raise DataError(message, hint="to load what is there, take the empty rows out")
        return rows

    def finish(self) -> list[tuple[int, bytes]]:
        """The last row, if a quote or the line is open. Raises as `feed` does."""
        rows = self.feed(b"\n") if self._rest else []
        return rows + ([self._raw()] if self._open else [])

    def _ended(self, line: bytes) -> list[tuple[int, bytes]]:
        """The row that ends with this line, if one does."""
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
            hint="a quote in it may not be closed",
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
            if cell or name in REQUIRED
        ]
        members = (f"{json.dumps(n)}: {json.dumps(c, ensure_ascii=False)}" for n, c in cells)
        return [(number, f"{{{', '.join(members)}}}".encode())]

    def _raw(self) -> tuple[int, bytes]:
        content = b"\n".join(self._open).removesuffix(b"\r")
        self._open, self._size = [], 0
        return self._first, content


def _parsed(content: bytes, delimiter: str) -> list[list[str]]:
    """The rows of it; nothing if it is not UTF-8 or no CSV."""
    try:
        lines = [f"{line}\n" for line in content.decode().split("\n")]
        return list(csv.reader(lines, delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return []


def _is_open(line: bytes, delimiter: bytes, *, within: bool) -> bool:
    """Whether a quoted cell goes on in the next line. A quote within other text is text."""
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
