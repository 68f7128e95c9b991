"""Bodies of AWS's answers stay out of the log of a program that uses the library.

At DEBUG, botocore logs each answer: plaintext data keys of KMS, messages of SQS. The level is the program's own, so
the lines of its own calls stay, and those of our calls are left out.
"""

from __future__ import annotations

import contextvars
import logging
from typing import Final, Protocol

_is_ours: Final = contextvars.ContextVar("is_ours", default=False)
"""Whether a call of ours is under way in this thread."""

_PRINTS_BODIES: Final = "botocore.parsers"


class Emitter(Protocol):
    """The part of botocore's event emitter that is used."""

    def register(self, event_name: str, handler: object) -> object:
        """Register a handler for events of this name, and of the names below it."""


def keep_from_log(events: Emitter) -> None:
    """Keep the answers to calls of this session's clients, which are made from now on, from the log."""
    logging.getLogger(_PRINTS_BODIES).addFilter(_is_of_others)
    events.register("before-call", _begin)
    events.register("after-call", _end)
    events.register("after-call-error", _end)


def _is_of_others(_record: logging.LogRecord) -> bool:
    return not _is_ours.get()


def _begin(**_event: object) -> None:
    _is_ours.set(True)


def _end(**_event: object) -> None:
    _is_ours.set(False)
