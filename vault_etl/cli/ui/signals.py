"""SIGINT, SIGTERM and the end of a parent: how they stop an ingest, and other long work."""

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

from vault_etl.base.errors import IncompleteError, StoppedError

ORPHAN_SECONDS: Final = 5.0
"""Seconds that a worker has to finish its batch once its parent is gone."""

ORPHAN_ENDS_S: Final = 8.0
"""Seconds after which an orphaned worker exits at once, even if a call keeps its main thread from noticing the flag."""


class StopOnSignal:
    """The stop flag of an ingest. The first SIGINT or SIGTERM lets it finish its batch; the second ends it at once.

    For a worker, the end of its parent counts as a signal.
    """

    def __init__(self, lifeline: Lifeline | None = None) -> None:
        self._received: list[int] = []
        self._lifeline = lifeline
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else 0: supervisors end a process that never ends by itself with SIGTERM."""
        return 128 + signal.SIGINT if self._received[:1] == [signal.SIGINT] else 0

    def is_set(self) -> bool:
        """True after a signal, or after the end of the parent."""
        return bool(self._received) or (self._lifeline is not None and self._lifeline.is_cut())

    def is_urgent(self) -> bool:
        """True after a second signal, or if the parent has been gone for too long."""
        overdue = self._lifeline is not None and self._lifeline.is_overdue()
        return len(self._received) > 1 or overdue

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._received and self._lifeline is None:
            sys.stderr.write(
                "vault-etl: finishing the batch in hand; a second signal ends at once\n"
            )
        self._received.append(number)


class Lifeline:
    """A worker's watch over its parent. The parent's end of a pipe closes when the parent ends, even by `kill -9`."""

    def __init__(self, descriptor: int) -> None:
        self._ended_at: float | None = None
        threading.Thread(target=self._wait, args=(descriptor,), daemon=True).start()

    def is_cut(self) -> bool:
        """True once the parent is gone."""
        return self._ended_at is not None

    def is_overdue(self) -> bool:
        """True once the parent has been gone for so long that this process must end."""
        ended_at = self._ended_at
        return ended_at is not None and time.monotonic() >= ended_at + ORPHAN_SECONDS

    def _wait(self, descriptor: int) -> None:
        os.read(descriptor, 1)
        self._ended_at = time.monotonic()
        time.sleep(ORPHAN_ENDS_S)
        os._exit(IncompleteError.exit_code)


def end_when_told() -> None:
    """Let SIGTERM end this process at once, with exit code 0: for a service that changes nothing.

    Also while a call of libpq waits, which keeps Python's own handlers waiting. Call it before any thread is started.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end, daemon=True).start()


def _end() -> NoReturn:
    signal.sigwait({signal.SIGTERM})
    os._exit(0)


@contextlib.contextmanager
def stop_when_told() -> Iterator[None]:
    """Let SIGTERM raise StoppedError in the main thread for this block, as Ctrl-C raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    message = "stopped by a signal"
    raise StoppedError(message, hint="run the command again: it continues where it was")
