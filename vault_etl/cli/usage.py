"""Errors of a command line, in our words: those of typer come from its parts, pydantic and click."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Final, get_args

import typer

from vault_etl.base import text as expected
from vault_etl.base.errors import UsageError

_EMPTY: Final = re.compile(r"(?:(--[a-z][a-z-]*)=)?\s*")


def usage_message(error: typer.TyperException) -> str:
    """The message of an error in one line, lower case, without a final period. Our own errors keep their words."""
    param: Any = getattr(error, "param", None)
    descriptor = getattr(param, "type_descriptor", None)
    if descriptor is not None and not isinstance(param, str) and _is_pydantics(error):
        name = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name
        return f"{name.strip('[]')} takes {_takes(descriptor)}"
    text = error.format_message() if hasattr(error, "format_message") else type(error).__name__
    if text.startswith("Usage:"):
        return text
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _is_pydantics(error: BaseException) -> bool:
    return type(error.__cause__).__module__.startswith("pydantic")


def _takes(descriptor: Any) -> str:  # noqa: ANN401 - typer hides its types
    if descriptor.choices is not None:
        return expected.one_of(descriptor.choices)
    kind = get_args(descriptor.annotation)[0] if descriptor.is_list else descriptor.annotation
    info = descriptor.parameter_info
    if kind in {int, float}:
        return expected.number(kind, at_least=info.min, at_most=info.max)
    if kind is dt.datetime and info.formats and all(len(form) <= 8 for form in info.formats):  # noqa: PLR2004
        return "a day such as 2026-01-31"
    return expected.such_as(kind)


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
