"""Time, its passing, the pace of long work, and its progress."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol

from typing_extensions import override


class Clock(Protocol):
    """The time, as an argument: tests pass their own."""

    def now(self) -> dt.datetime:
        """Return the time of day, in UTC."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. They never go backwards."""


class SystemClock(Clock):
    """The clock of this machine."""

    @override
    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    @override
    def monotonic(self) -> float:
        return time.monotonic()


class Progress(Protocol):
    """Receives the progress of long work, after each step."""

    def advance(self, done: int, **details: int | str) -> None:
        """Report `done` more items, and details for the log: counts, ids and codes, never values."""


class Stop(Protocol):
    """A request to stop, which also ends waits. `threading.Event` implements it."""

    def is_set(self) -> bool:
        """Tell whether the work must stop."""

    def set(self) -> None:
        """Request the stop."""

    def wait(self, timeout: float) -> bool:
        """Wait for `timeout` seconds or until the request; tell whether the work must stop."""


class Pace:
    """A limit of rows per second over all workers. `rows_per_second` None: no limit."""

    def __init__(
        self, clock: Clock, rows_per_second: float | None = None, stop: Stop | None = None
    ) -> None:
        self._clock = clock
        self._rate = rows_per_second
        self._lock = threading.Lock()
        self._next = clock.monotonic()
        self.stop: Stop = stop or threading.Event()

    def page_rows(self, most: int) -> int:
        """Return the rows to take at a time: the rows of one second at most, so that waits are short."""
        return most if self._rate is None else max(1, min(most, int(self._rate)))

    def wait(self, rows: int) -> None:
        """Wait until the rows that are done are within the limit."""
        if self._rate is None or not rows:
            return
        with self._lock:
            self._next = max(self._next, self._clock.monotonic()) + rows / self._rate
            seconds = self._next - self._clock.monotonic()
        self.stop.wait(seconds)
