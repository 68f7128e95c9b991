"""Logs: events with names, counts and codes. No values, and no text of exceptions.

A command writes lines on standard error: JSON objects, or text for people. docs/adr/0059-commands-start-fast.md says
why no library writes them. Without `configure`, in a program that uses the library, the events go to the logger
`vault_etl` of `logging`, and the program decides about them.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_LOUD: Final = ("botocore", "opentelemetry", "urllib3")
_SILENT: Final = logging.CRITICAL + 1

Line = Mapping[str, object]
"""The fields of a line, and at its end `event`, `level` and `timestamp`."""


class Logger:
    """Writes events, from any thread. The bound `fields` are in each of them."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def bind(self, **fields: object) -> Logger:
        """Return a logger whose lines have these fields too."""
        return Logger(**{**self._fields, **fields})

    def debug(self, event: str, **fields: object) -> None:
        """Write a detail, which only `--verbose` shows."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write a step of normal work, which `--quiet` hides."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write what a person should read."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write that the work failed."""
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: Line) -> None:
        if _form is None:
            _OF_LIBRARY.log(level, "%s", _Event(event, {**self._fields, **fields}))
            return
        if level < _form.level:
            return
        line = {
            **self._fields,
            **fields,
            "event": event,
            "level": logging.getLevelName(level).lower(),
            "timestamp": dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z"),
        }
        text = _form.render(line)
        with _writing:
            # Standard error as it is at that moment: above the live line, while there is one.
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def configure(log_format: Literal["text", "json"] | None, *, verbose: bool, quiet: bool) -> None:
    """Set the form and the level of the lines, and silence the libraries.

    botocore prints plaintext data keys at DEBUG, and the traceback of a failed renewal of credentials
    at WARNING. `--verbose` shows neither. Without `log_format`, lines are text on a terminal, else JSON.
    """
    global _form  # noqa: PLW0603 - one standard error, one form
    for name in _LOUD:
        logging.getLogger(name).setLevel(_SILENT)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    is_text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    style = _COLORS if sys.stderr.isatty() else _PLAIN
    _form = _Form(level, functools.partial(_text, style=style) if is_text else _json)


def get_logger() -> Logger:
    """Return a logger without bound fields."""
    return Logger()


def bug(error: BaseException) -> str:
    """Return the error's class and its last three frames. Its text is left out: it may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(frames[-3:])
    )
    return f"a bug: {type(error).__name__} at {where}"


def _json(line: Line) -> str:
    fields = (f"{json.dumps(name)}: {_dumped(value)}" for name, value in line.items())
    return f"{{{', '.join(fields)}}}"


def _dumped(value: object) -> str:
    """Return JSON. Of a value that JSON does not have, such as a mapping with keys of objects, name the type alone."""
    try:
        return json.dumps(value, default=_name_of_type, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_name_of_type(value))


def _name_of_type(value: object) -> str:
    """Name the type alone: the text of an exception, and of most other objects, may quote a value."""
    return type(value).__name__


_QUOTED: Final = frozenset(" =\"'")
"""A text with one of these is quoted, and so is one that does not print."""

_PLAIN: Final = dict.fromkeys(("debug", "info", "warning", "error", "dim", "bright", "reset"), "")
_COLORS: Final = {
    "debug": "\033[32m",
    "info": "\033[32m",
    "warning": "\033[33m",
    "error": "\033[31m",
    "dim": "\033[2m",
    "bright": "\033[1m",
    "reset": "\033[0m",
}


def _text(line: Line, style: Mapping[str, str] = _PLAIN) -> str:
    fields = dict(line)
    event, level, moment = (str(fields.pop(name)) for name in ("event", "level", "timestamp"))
    told = _told(fields)
    dim, bright, reset = style["dim"], style["bright"], style["reset"]
    return (
        f"{dim}{moment}{reset} [{style[level]}{level:9}{reset}] {bright}{event:30}{reset} {told}"
    ).rstrip()


def _told(fields: Line) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in sorted(fields.items()))


def _value(value: object) -> str:
    if isinstance(value, str):
        return value if value.isprintable() and not _QUOTED & set(value) else repr(value)
    return _dumped(value)


@dataclass(frozen=True, slots=True)
class _Form:
    level: int
    render: Callable[[Line], str]


class _Event:
    """The text of an event for `logging`, made if a handler asks for it."""

    def __init__(self, event: str, fields: Line) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        return f"{self._event} {_told(self._fields)}".rstrip()


_form: _Form | None = None
_OF_LIBRARY: Final = logging.getLogger("vault_etl")
_OF_LIBRARY.addHandler(logging.NullHandler())
_writing = threading.Lock()
