"""Cells of CSV that a spreadsheet takes for text, and never for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

_MARK: Final = "'"
_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", _MARK)
"""What begins a formula (OWASP, CSV Injection), and the mark itself, so that it can be taken away again."""


def csv_line(cells: Iterable[str]) -> bytes:
    """One row of RFC 4180, ended by U+000A, in UTF-8.

    A cell that begins like a formula, blanks and controls before it or not, gets a mark, U+0027, before it.
    """
    line = io.StringIO()
    csv.writer(line).writerow(map(_safe, cells))  # that quotes both characters of its CR LF
    return line.getvalue().removesuffix("\r\n").encode() + b"\n"


def plain_cell(cell: str) -> str:
    """The text of a cell that `csv_line` made: without the mark."""
    return cell.removeprefix(_MARK)


def _safe(text: str) -> str:
    begins = text.lstrip("\0\t\r\n \u00a0")
    return _MARK + text if begins.startswith(_STARTS) or text[:1] in {"\t", "\r"} else text
