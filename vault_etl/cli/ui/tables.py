"""Tables on a terminal, which cut nothing off.

A row that is too wide for the terminal is folded, not shortened: its first columns are side by side,
and the others are below them with their names. All rows of a table have the same layout:

    seq  time                  login
    17   2026-01-31T12:00:00Z  anna
           action: reveal  decision: allowed  ticket: T-1

A value that is wider than the terminal is wrapped, between words if it has several.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

NOTHING: Final = "-"
"""The cell of a missing value. Below a row, such a cell is left out."""

_GAP: Final = "  "
_INDENT: Final = "      "
_LEAST_ROOM: Final = 20
"""The fewest characters of a value beside its name, on terminals of any width."""


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], last: int) -> None:
    """Print rows below their titles. If the last column is beside others, it has at least `last` characters."""
    console = _console()
    widths = [
        max(_width(title), *(_width(row[at]) for row in rows)) for at, title in enumerate(titles)
    ]
    room = console.width - sum(width + len(_GAP) for width in widths[:-1])
    if room >= min(widths[-1], max(last, *(_longest_word(row[-1]) for row in [titles, *rows]))):
        beside = len(titles)
        widths[-1] = room
    else:
        beside = _beside(widths, console.width)
    _print(console, _side_by_side(console, titles[:beside], widths), "bold")
    for row in rows:
        _print(console, _side_by_side(console, row[:beside], widths))
        parts = [
            f"{titles[at]}: {row[at]}"
            for at in range(beside, len(titles))
            if row[at] not in {"", NOTHING}
        ]
        for line in packed(parts, console.width - len(_INDENT)):
            folded = _wrapped(console, line, console.width - len(_INDENT))
            _print(console, (_INDENT + part for part in folded))


def print_pairs(values: Mapping[str, str]) -> None:
    """Print names and values, one below the other."""
    console = _console()
    names = max(map(_width, values), default=0)
    room = max(console.width - names - len(_GAP), _LEAST_ROOM)
    for name, value in values.items():
        before, blank = name + " " * (names - _width(name)), " " * names
        for line in _wrapped(console, value, room):
            _print_named(console, before, line)
            before = blank


def packed(parts: Iterable[str], width: int) -> list[str]:
    """Lines of whole parts, two blanks between, at most `width` characters; a longer part has its own line."""
    lines: list[str] = []
    for part in parts:
        if lines and _width(lines[-1]) + len(_GAP) + _width(part) <= width:
            lines[-1] += _GAP + part
        else:
            lines.append(part)
    return lines


def _beside(widths: Sequence[int], room: int) -> int:
    """The number of first columns that fit beside each other: at least one."""
    for at, width in enumerate(widths):
        room -= width
        if room < 0:
            return max(at, 1)
        room -= len(_GAP)
    return len(widths)


def _side_by_side(console: Console, cells: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    """The lines of one row."""
    columns = [
        _wrapped(console, cell, max(width, 1)) for cell, width in zip(cells, widths, strict=False)
    ]
    for at in range(max(map(len, columns))):
        line = ""
        for lines, width in zip(columns, widths, strict=False):
            part = lines[at] if at < len(lines) else ""
            line += part + " " * (width - _width(part)) + _GAP
        yield line.rstrip()


def _wrapped(console: Console, text: str, width: int) -> list[str]:
    """Lines that break between words, or within a word that is too long. Only blanks at the ends of lines are lost."""
    from rich.text import Text

    lines = Text(text).wrap(console, width, overflow="fold")
    return [line.plain.rstrip() for line in lines] or [""]


def _width(text: str) -> int:
    """The columns of a terminal that the longest line of `text` takes."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def _longest_word(text: str) -> int:
    return max(map(_width, text.split()), default=0)


def _console() -> Console:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def _print(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    for line in lines:
        console.print(line, style=style, soft_wrap=True)


def _print_named(console: Console, name: str, value: str) -> None:
    from rich.text import Text

    text = Text.assemble((name, "bold"), (f"{_GAP}{value}" if value else ""))
    text.rstrip()
    console.print(text, soft_wrap=True)
