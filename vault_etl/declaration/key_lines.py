"""Lines of the keys of a TOML document. `tomllib` has no positions, and no kept library has them in its API.

The text must be a document that `tomllib` accepts, so this module finds keys and checks nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

KeyPath = tuple[str, ...]
"""The names from the top of a document to a table or a value."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_BETWEEN: Final = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*+")
_DOT_OR_EQUALS: Final = re.compile(r"[ \t]*[.=]?[ \t]*")
_KEY: Final = re.compile(r'[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*+"|\'[^\']*+\'')
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\]|\\.)*+"'
    r"|'[^']*+'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,}\]\n#]*+")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line of each table and each value that is not in an array, from 1.

    A table that has no header of its own has the line on which a longer key first names it.
    """
    return _Scan(text).lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._named: set[KeyPath] = set()
        self._text = text
        self._at = 0
        self._line, self._line_at = 1, 0  # the line of the last key that was read, and its place
        table: KeyPath = ()
        while self._skip(_BLANK):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]`."""
        start = self._at
        while self._text[self._at] in "[ \t":
            self._at += 1
        table = self._key((), start)
        while self._text[self._at : self._at + 1] in {"]", " ", "\t"}:
            self._at += 1
        return table

    def _pair(self, table: KeyPath) -> None:
        """Read `a.b = value`."""
        self._value(self._key(table, self._at))

    def _key(self, table: KeyPath, start: int) -> KeyPath:
        """Read a dotted key, and `=` after it. Each of its parts has the line of `start`."""
        self._line += self._text.count("\n", self._line_at, start)
        self._line_at = start
        line = self._line
        key = table
        while part := _KEY.match(self._text, self._at):
            if key != table:
                self.lines.setdefault(key, line)
            name = part[0]
            key = (*key, tomllib.loads(f"name = {name}")["name"] if name[0] in "\"'" else name)
            self._at = part.end()
            self._skip(_DOT_OR_EQUALS)
            if self._text[part.end() : self._at].strip() != ".":
                break
        if key not in self._named:  # the first of several [[tables]]
            self._named.add(key)
            self.lines[key] = line
        return key

    def _value(self, key: KeyPath) -> None:
        first = self._text[self._at]
        if first == "{":
            self._inline_table(key)
        elif first == "[":
            self._array()
        else:
            self._skip(_STRING if first in "\"'" else _SCALAR)

    def _inline_table(self, key: KeyPath) -> None:
        self._at += 1
        self._skip(_BETWEEN)
        while self._text[self._at] != "}":
            self._pair(key)
            self._skip(_BETWEEN)
        self._at += 1

    def _array(self) -> None:
        """Skip an array with all that it holds."""
        depth = 0
        while True:
            character = self._text[self._at]
            if character in "\"'":
                self._skip(_STRING)
                continue
            depth += (character in "[{") - (character in "]}")
            self._at += 1
            if not depth:
                return
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Move behind the pattern. Return False at the end of the text."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)
