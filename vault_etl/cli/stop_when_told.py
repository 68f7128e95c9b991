"""SIGTERM ends a long piece of work as Ctrl-C does: what is in hand is finished or rolled back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from vault_etl.base.errors import IncompleteError


@contextlib.contextmanager
def stop_when_told() -> Iterator[None]:
    """Within it, SIGTERM raises IncompleteError in the main thread."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    message = "stopped by a signal"
    raise IncompleteError(message, hint="run it again: it goes on where it was")
