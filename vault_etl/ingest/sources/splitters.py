"""Splitters of JSON content: `LineSplitter` for JSON lines, `JsonSplitter` for all other JSON.

Other JSON is an array, pretty-printed values, or values one after the other. Between two values
there may be white space, commas, record separators (U+001E, RFC 7464), byte order marks, and the
brackets of top-level arrays. Everything else is part of a record, valid JSON or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest

MAX_LINE_BYTES: Final = 1024 * 1024
"""Bytes of a line without its line end: SQS's own limit of a message. Longer content is not JSON lines."""

MAX_BLANK_BYTES: Final = 64 * 1024 * 1024
"""Bytes of consecutive blank lines. A gzip file of 1.5 MB can hold 1.5 GB of them."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BLANK: Final = b" \t\r"

_SPACE: Final = b" \t\r\n"
_BETWEEN: Final = re.compile(rb"(?:[ \t\r\n,\x1e]|\xef\xbb\xbf)*+")
_LINE_END: Final = re.compile(rb"\r?\n")
_TOKEN: Final = re.compile(rb'"(?:[^"\\\n\x1e]++|\\[^\n\x1e])*+("?)|[{}\[\],\n\x1e]')
"""A JSON string has no line end or record separator (RFC 8259, section 7): a broken string ends there."""


class Splitter(Protocol):
    """Splits content, given piece by piece, into numbered records."""

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the records that end in this piece, each with its number."""

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the records that only the end of the content ends."""


class LineSplitter(Splitter):
    """Splits JSON lines. Holds only the line that has begun.

    docs/formats.md, Record id of a line, defines a line. `digest` is given every line, blank ones too.
    """

    def __init__(self, name: str, digest: LineDigest | None = None) -> None:
        self._name = name
        self._digest = digest
        self._number = 0
        self._rest = b""
        self._blank_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the non-blank lines that end in this piece, each with its number from 1.

        Raises DataError, naming the line, for a line longer than `MAX_LINE_BYTES`, or for more than
        `MAX_BLANK_BYTES` of consecutive blank lines.
        """
        content = self._rest + chunk
        *ended, self._rest = content.split(b"\n")
        if self._digest is not None:
            self._digest.add(ended)
        lines = list(self._numbered(ended))
        self._blank_bytes = 0 if lines else self._blank_bytes + len(content) - len(self._rest)
        if self._blank_bytes > MAX_BLANK_BYTES:
            raise self._too_blank()
        if len(self._rest) > MAX_LINE_BYTES + len(BYTE_ORDER_MARK) + len(b"\r"):
            raise self._too_long(self._number + 1)
        return lines

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the last line, if the content does not end with a line end. Raises as `feed` does."""
        return self.feed(b"\n") if self._rest else []

    def _numbered(self, ended: list[bytes]) -> Iterator[tuple[int, bytes]]:
        first = self._number + 1
        self._number += len(ended)
        for number, end in enumerate(ended, first):
            if not end:
                continue
            line = end.removesuffix(b"\r")
            if line[:1] == BYTE_ORDER_MARK[:1]:
                line = line.removeprefix(BYTE_ORDER_MARK)
            if len(line) > MAX_LINE_BYTES:
                raise self._too_long(number)
            if line.strip(BLANK):
                yield number, line

    def _too_long(self, number: int) -> DataError:
        return DataError(
            f"line {number} of {self._name} is longer than {MAX_LINE_BYTES:,} bytes",
            hint="JSON lines have one event per line; if one object contains all events,"
            " `jq -c '.NAME[]' FILE` makes lines of its list NAME",
        )

    def _too_blank(self) -> DataError:
        mebibytes = MAX_BLANK_BYTES // 1024**2
        return DataError(
            f"more than {mebibytes} MiB of blank lines before line {self._number + 1} of {self._name}",
            hint="JSON lines have one event per line; remove the blank lines to load the others",
        )


class JsonSplitter(Splitter):
    """Splits JSON values. Holds only the value that has begun. Values are numbered from 1.

    `digest` is given each value, with U+0020 for each of its line ends. Content that ends within a
    value or an array raises DataError; with `keep_going`, the cut-off value is the last record.
    """

    def __init__(
        self, name: str, digest: LineDigest | None = None, *, keep_going: bool = False
    ) -> None:
        self._name = name
        self._digest = digest
        self._keep_going = keep_going
        self._number = 0
        self._rest = b""
        self._scan = ValueScan()
        self._in_array = False
        self._between = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the values that end in this piece, byte for byte, each with its number.

        Raises DataError, naming the record, for a value longer than `MAX_LINE_BYTES`, or for more
        than `MAX_BLANK_BYTES` between two values.
        """
        content = self._rest + chunk
        values: list[bytes] = []
        start = 0
        while True:
            if self._scan.at is None:
                start = self._begin(content, start)
                if self._scan.at is None:
                    break
            end = self._scan.end(content, start)
            if end is None:
                break
            values.append(content[start:end].rstrip(_SPACE))
            start, self._scan = end, ValueScan()
            self._between = 0
        self._rest = content[start:]
        if self._scan.at is not None:
            self._scan.at -= start
        return self._numbered(values)

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the value that ends with the content. Raises DataError if content is missing."""
        rest, self._rest = self._rest.rstrip(_SPACE), b""
        is_open = self._scan.depth > 0 or self._scan.in_string
        if not self._keep_going and (is_open or self._in_array):
            message = (
                f"{self._name} is cut off: record {self._number + 1} or its array does not end"
            )
            raise DataError(
                message,
                hint="fetch it again; --keep-going loads the records before, and quarantines the rest",
            )
        return self._numbered([rest] if rest else [])

    def _begin(self, content: bytes, start: int) -> int:
        """Skip the bytes between two values. Start a scan where a value begins."""
        at = start
        while True:
            found = _BETWEEN.match(content, at)
            at = found.end() if found else at
            bracket = content[at : at + 1]
            if bracket != (b"]" if self._in_array else b"["):
                break
            self._in_array = not self._in_array
            at += 1
        self._between += at - start
        if self._between > MAX_BLANK_BYTES:
            number = self._number + 1
            message = f"more than {MAX_BLANK_BYTES // 1024**2} MiB of blanks before record {number}"
            raise DataError(f"{message} of {self._name}", hint="remove the blanks to load the rest")
        if content[at:] not in (b"", BYTE_ORDER_MARK[:1], BYTE_ORDER_MARK[:2]):
            self._scan.at = at
        return at

    def _numbered(self, values: list[bytes]) -> list[tuple[int, bytes]]:
        first = self._number + 1
        for number, value in enumerate([*values, self._rest], first):
            if len(value) > MAX_LINE_BYTES:
                raise DataError(
                    f"record {number} of {self._name} is longer than {MAX_LINE_BYTES:,} bytes",
                    hint="a bracket or a quote may be unclosed; if one object contains all events,"
                    " `jq -c '.NAME[]' FILE` makes lines of its list NAME",
                )
        if self._digest is not None:
            self._digest.add([_LINE_END.sub(b" ", value) for value in values])
        self._number += len(values)
        return list(enumerate(values, first))


class ValueScan:
    """A scan for the end of one JSON value, in content that grows."""

    def __init__(self) -> None:
        self.at: int | None = None
        """The offset up to which the content is scanned, or None if no value has begun."""
        self.depth = 0
        self.in_string = False

    def end(self, content: bytes, start: int) -> int | None:
        """Return the end of the value that begins at `start`, or None if `content` does not hold it."""
        self.in_string = False
        for token in _TOKEN.finditer(content, start if self.at is None else self.at):
            at, kind = token.start(), token[0][:1]
            if kind == b'"':
                left = content[token.end() : token.end() + 2]
                if not token[1] and left in (b"", b"\\"):
                    self.at, self.in_string = at, True
                    return None
                continue
            if kind == b"\x1e":
                return at
            if kind in b"{[":
                if self.depth == 0 and at > start:
                    return at
                self.depth += 1
            elif kind in b"}]":
                self.depth -= 1
                if self.depth <= 0:
                    return at if self.depth < 0 and at > start else at + 1
            elif self.depth == 0:  # a comma, or the end of a line
                return at
        self.at = len(content)
        return None
