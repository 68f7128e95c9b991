"""Errors of a command line, in our words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import typer

from vault_etl.base.errors import UsageError

_EMPTY: Final = re.compile(r"(?:(--[a-z][a-z-]*)=)?\s*")


class WrongValueError(typer.BadParameter):
    """A value that an option or argument does not take. The message names both, in our words."""


def usage_message(error: typer.TyperException) -> str:
    """The message of an error in one line, lower case, without a final period. Our own errors keep their words."""
    if isinstance(error, WrongValueError):
        return error.message
    text = error.format_message() if hasattr(error, "format_message") else type(error).__name__
    if text.startswith("Usage:"):
        return text
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is empty or white space, before any command parses it.

    Most often a shell variable is not set. No option takes an empty value, and an empty value must not
    change what a command does: `ingest --file ""` would drain the queue.
    """
    for number, argument in enumerate(arguments):
        if not (found := _EMPTY.fullmatch(argument)):
            continue
        before = arguments[number - 1] if number else ""
        name = found[1] or (before if re.fullmatch(r"--?[a-z][a-z-]*", before) else None)
        where = f"the argument of {name}" if found[1] else f"the argument after {name}"
        message = f"{where if name else f'argument {number + 1}'} is empty"
        raise UsageError(
            message, hint="is a variable not set? give a value, or leave the option out"
        )
