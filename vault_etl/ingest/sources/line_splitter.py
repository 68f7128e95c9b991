"""Content, as it comes in pieces, split into numbered lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.crypto.source_digest import LineDigest

MAX_LINE_BYTES: Final = 1024 * 1024
"""Without its line end. SQS's own limit of a message; what is longer may be no JSON lines at all."""

MAX_BLANK_BYTES: Final = 64 * 1024 * 1024
"""Of blank lines in a row. A gzip file of 1.5 MB can hold 1.5 GB of them: that is no file of events."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
BLANK: Final = b" \t\r"


class LineSplitter:
    """Holds the line that has begun, and no more. What a line is: docs/formats.md, Record id of a line.

    `digest` is given every line, the blank ones too.
    """

    def __init__(self, name: str, digest: LineDigest | None = None) -> None:
        self._name = name
        self._digest = digest
        self._number = 0
        self._rest = b""
        self._blank_bytes = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The lines that end in this piece, without the blank ones, each with its number from 1.

        Raises DataError, naming the line, if one is longer than `MAX_LINE_BYTES`, or if more than
        `MAX_BLANK_BYTES` are blank lines in a row.
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
        """The last line, if the content does not end with a line end. Raises as `feed` does."""
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
            hint="JSON lines are one event a line; with an object around all events,"
            " `jq -c '.NAME[]' FILE` makes lines of its list NAME",
        )

    def _too_blank(self) -> DataError:
        mebibytes = MAX_BLANK_BYTES // 1024**2
        return DataError(
            f"more than {mebibytes} MiB of blank lines before line {self._number + 1} of {self._name}",
            hint="JSON lines are one event a line; to load what is there, take the blank lines out",
        )
