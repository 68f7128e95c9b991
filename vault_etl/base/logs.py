"""Logs on standard error: events with names, counts and codes. No values, and no text of exceptions."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Literal

import stamina
import structlog

_LOUD = ("boto3", "botocore", "s3transfer", "urllib3")


def configure(log_format: Literal["text", "json"] | None, *, verbose: bool, quiet: bool) -> None:
    """Set up structlog and silence the libraries.

    botocore prints plaintext data keys at DEBUG, and the traceback of a failed renewal of credentials
    at WARNING. Both stay silent whatever `--verbose` says.
    """
    stamina.instrumentation.set_on_retry_hooks(
        []
    )  # stamina's own hook logs the arguments of the call
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_no_exception)
        if text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Standard error as it is at that moment: above the live line, while there is one.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """Return the program's logger."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def bug(error: BaseException) -> str:
    """Return the error's class and its last three frames. Its text is left out: it may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(frames[-3:])
    )
    return f"a bug: {type(error).__name__} at {where}"


def _drop_exceptions(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Log the class of an error alone: the text of a traceback quotes rows and values."""
    info = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else sys.exc_info()[1]
        event["error"] = type(error).__name__
    return event


def _no_exception(_stream: object, _info: object) -> None:
    """Print nothing. `_drop_exceptions` runs first, so structlog never calls this."""
