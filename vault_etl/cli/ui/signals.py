"""SIGINT and SIGTERM, as an ingest hears them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

from vault_etl.base.errors import IncompleteError


class StopOnSignal:
    """Set by SIGINT or SIGTERM: what was begun is finished first. A second signal ends at once.

    For a worker, the end of its parent is a signal too.
    """

    def __init__(self, lifeline: Lifeline | None = None) -> None:
        self._received: list[int] = []
        self._lifeline = lifeline
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else 0: SIGTERM is how a supervisor ends what runs for ever."""
        return 128 + signal.SIGINT if self._received[:1] == [signal.SIGINT] else 0

    def is_set(self) -> bool:
        """See `StopFlag.is_set`."""
        return bool(self._received) or (self._lifeline is not None and self._lifeline.is_cut())

    def is_urgent(self) -> bool:
        """See `StopFlag.is_urgent`."""
        overdue = self._lifeline is not None and self._lifeline.is_overdue()
        return len(self._received) > 1 or overdue

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._received and self._lifeline is None:
            sys.stderr.write("vault-etl: finishing the batch in hand; once more to end at once\n")
        self._received.append(number)


class Lifeline:
    """Ends when the parent does: its end of the pipe is closed then, even by `kill -9`."""

    def __init__(self, descriptor: int) -> None:
        self._ended_at: float | None = None
        threading.Thread(target=self._wait, args=(descriptor,), daemon=True).start()

    def is_cut(self) -> bool:
        """Whether the parent is gone."""
        return self._ended_at is not None

    def is_overdue(self) -> bool:
        """Whether it has been gone for so long that this process must be too."""
        ended_at = self._ended_at
        return ended_at is not None and time.monotonic() >= ended_at + ORPHAN_SECONDS

    def _wait(self, descriptor: int) -> None:
        os.read(descriptor, 1)
        self._ended_at = time.monotonic()
        time.sleep(ORPHAN_ENDS_S)
        os._exit(IncompleteError.exit_code)


ORPHAN_SECONDS: Final = 5.0
"""What a worker takes to finish what it began, once its parent is gone."""


ORPHAN_ENDS_S: Final = 8.0
"""After so long it ends wherever it is: a call that does not return keeps the main thread from hearing."""


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
