"""Data on standard output: tables for people, JSON for programs. Everything else goes to standard error."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from vault_etl.base.pii import Pii
from vault_etl.cli.ui import tables
from vault_etl.cli.ui.printable import printable

if TYPE_CHECKING:
    from vault_etl.audit.entries import AuditReceipt

_LAST_COLUMN: Final = 12
"""The fewest characters in a line of a table's last column."""

MANY_ROWS: Final = 50
"""Rows of a table without `--limit` that could have any number: the newest."""

MAX_COUNT: Final = 2**31 - 1
"""The largest `--limit` that Postgres accepts."""

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")
]


class OutputFormat(StrEnum):
    """The forms of data on standard output."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    OutputFormat | None,
    typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
]


def wants_json(output: OutputFormat | None) -> bool:
    """Decide whether to print JSON: as `output` says; without it, in a pipe and not on a terminal."""
    if output is None:
        return not sys.stdout.isatty()
    return output is OutputFormat.JSON


def print_object(values: Mapping[str, object], output: OutputFormat | None) -> None:
    """Print one object: JSON on one line, or two columns of names and values."""
    if wants_json(output):
        _print_json(values)
        return
    print_pairs(values)


def print_rows(
    rows: Iterable[Mapping[str, object]],
    output: OutputFormat | None,
    *,
    columns: Sequence[str],
    empty: str,
    last: int = _LAST_COLUMN,
) -> None:
    """Print many objects: one JSON object a line (streamed), or a table of `columns`.

    The last column wraps in the room that is left, at least `last` characters. If the terminal has
    no room for that, the columns that do not fit are below each row (`vault_etl.cli.ui.tables`).
    `empty` is printed on standard error instead of a table without rows.
    """
    if wants_json(output):
        for row in rows:
            _print_json(row)
        return
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if not cells:
        sys.stderr.write(f"{empty}\n")
        return
    tables.print_table([column.replace("_", " ") for column in columns], cells, last)


def print_pairs(values: Mapping[str, object]) -> None:
    """Print names and values, one below the other; the lines of a longer value are indented."""
    tables.print_pairs({name.replace("_", " "): cell(value) for name, value in values.items()})


def print_listing(
    values: Mapping[str, object],
    name: str,
    rows: Iterable[Mapping[str, object]],
    output: OutputFormat | None,
    *,
    columns: Sequence[str],
) -> None:
    """Print one object whose last member is a list, `name`, of any length: streamed as JSON, or as two tables."""
    if not wants_json(output):
        print_object(values, output)
        sys.stdout.write("\n")
        print_rows(rows, output, columns=columns, empty=f"no {name}")
        return
    sys.stdout.write(f'{json.dumps(values, default=plain)[:-1]}, "{name}": [')
    for index, row in enumerate(rows):
        sys.stdout.write((", " if index else "") + json.dumps(row, default=plain))
    sys.stdout.write("]}\n")


def _print_json(values: Mapping[str, object]) -> None:
    """Print JSON in ASCII: any locale can print it, and it cannot control a terminal."""
    sys.stdout.write(json.dumps(values, default=plain) + "\n")


def plain(value: object) -> str:
    """The JSON text of a UUID, a time or a date. Raises TypeError for any other type."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.datetime):
        return utc_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    message = f"{type(value).__name__} is not for output"
    raise TypeError(message)


def utc_text(moment: dt.datetime) -> str:
    """A time in ISO 8601, in UTC, to the second: 2026-01-31T12:00:00Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def cell(value: object) -> str:
    """The text of a cell, with characters escaped that do not print: it cannot control the terminal."""
    if value is None:
        return tables.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        lines = (printable(f"{name}: {inner}") for name, inner in value.items())
        return "\n".join(lines) or tables.NOTHING
    if isinstance(value, list | tuple):
        return printable(", ".join(str(inner) for inner in value)) or tables.NOTHING
    return printable(str(value) if isinstance(value, int | float | str) else plain(value))


def print_receipt(note: str | None, to: TextIO | None = None) -> None:
    """Print a signed note byte for byte, under a table. For None, print nothing."""
    if note is not None:
        (to or sys.stdout).write(f"\nKeep this receipt (vault-etl audit verify):\n\n{note}")


class AccessOutput(StrEnum):
    """The forms of an access on standard output: `value` is the bare value."""

    TABLE = "table"
    JSON = "json"
    VALUE = "value"


AccessOutputOption = Annotated[
    AccessOutput | None,
    typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
]


def print_access(
    values: Mapping[str, object], receipt: AuditReceipt, output: AccessOutput | None
) -> None:
    """Print one object and its entry in the log. JSON has the signed note as a member; a table has it below.

    The output `value` is not for this function.
    """
    form = None if output is None else OutputFormat(output.value)
    shown = {**values, "audit_seq": receipt.seq, "audit_hash": receipt.hash.hex()}
    if wants_json(form):
        print_object({**shown, "checkpoint": receipt.checkpoint}, form)
        return
    print_object(shown, form)
    print_receipt(receipt.checkpoint)
    sys.stdout.write("\n")


def print_value(value: bytes, *, end: bytes = b"\n") -> None:
    """Print a value: byte for byte in a pipe, in any locale; escaped on a terminal, so that it cannot control it."""
    if sys.stdout.isatty():
        sys.stdout.write(f"{printable(value.decode(errors='backslashreplace'))}\n")
    else:
        sys.stdout.buffer.write(value + end)


def readable(body: Pii) -> tuple[str, str]:
    """A body as text if it is UTF-8, else in base64 (RFC 4648, section 4); and the name of that encoding."""
    try:
        return body.expose().decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body.expose()).decode(), "base64"
