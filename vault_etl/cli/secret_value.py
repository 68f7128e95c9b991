"""A personal value from outside: never from the command line, where the shell's history keeps it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import typer

from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.cli.read_file import read_bounded

MAX_VALUE_BYTES = 4096
"""No field holds a longer one."""

MAX_LIST_BYTES = 64 * 2**20


def read_value(name: str) -> Pii:
    """One value: typed unseen on a terminal, else one line of standard input, read to its end.

    Raises UsageError, without the value, for nothing, more than one line, or what is no UTF-8.
    """
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
        return _value(typed.encode("utf-8", "surrogateescape"))
    return _value(sys.stdin.buffer.read(MAX_VALUE_BYTES + 2))


def read_values(name: str, limit: int) -> list[Pii]:
    """Values: one typed unseen on a terminal, else one a line of standard input; blank lines are none.

    Raises UsageError, without a value, for nothing, or more lines than `limit`.
    """
    if sys.stdin.isatty():
        return [read_value(name)]
    lines = sys.stdin.buffer.read(limit * MAX_VALUE_BYTES + 1).split(b"\n")
    lines = [line.removesuffix(b"\r") for line in lines]
    found = [Pii(line) for line in lines if line.strip()]
    message = ""
    if not found:
        message = "there is no value on standard input"
    elif max(map(len, lines)) > MAX_VALUE_BYTES:
        message = f"a value on standard input is longer than {MAX_VALUE_BYTES:,} bytes"
    elif len(found) > limit:
        message = f"there are more than {limit:,} values on standard input"
    if message:
        raise UsageError(message, hint="one value a line, for example from a file: < values.txt")
    return found


def read_lines(path: Path | None) -> str:
    """The text of a file, or of standard input, in UTF-8, with or without a byte order mark.

    Raises UsageError for another encoding or more than 64 MiB, NotFoundError for a file that cannot be read.
    """
    content = read_bounded(path, MAX_LIST_BYTES)
    with contextlib.suppress(UnicodeDecodeError):
        if len(content) <= MAX_LIST_BYTES:
            return content.decode("utf-8-sig")
    message = "the list is not UTF-8, or longer than 64 MiB"
    raise UsageError(message, hint="convert it, or take a part of it at a time")


def _value(line: bytes) -> Pii:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(line) > MAX_VALUE_BYTES:
        message = f"one line of at most {MAX_VALUE_BYTES:,} bytes is wanted on standard input"
        raise UsageError(
            message, hint="one value, in one line, for example from a file: < value.txt"
        )
    return Pii(line)
