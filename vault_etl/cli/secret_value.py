"""A personal value from outside: never from the command line, where the shell's history keeps it."""

from __future__ import annotations

import sys

import typer

from vault_etl.core.pii import Pii
from vault_etl.errors import UsageError

MAX_VALUE_BYTES = 4096
"""No field holds a longer one."""


def read_value(name: str) -> Pii:
    """One value: typed unseen on a terminal, else one line of standard input, read to its end.

    Raises UsageError, without the value, for nothing, more than one line, or what is no UTF-8.
    """
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
        return _value(typed.encode("utf-8", "surrogateescape"))
    return _value(sys.stdin.buffer.read(MAX_VALUE_BYTES + 2))


def _value(line: bytes) -> Pii:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(line) > MAX_VALUE_BYTES:
        message = "there is no value on standard input, or more than one line"
        raise UsageError(
            message, hint="one value, in one line, for example from a file: < value.txt"
        )
    return Pii(line)
