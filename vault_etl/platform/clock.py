"""Time, from outside."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> dt.datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds from some start, never backwards."""


class SystemClock:
    """`Clock` of this machine."""

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class Progress(Protocol):
    """Told after each step."""

    def advance(self, done: int, **details: int | str) -> None:
        """`done` more items; details for the log: counts, ids and codes, never values."""


class Stop(Protocol):
    """Tells that it is time to end, and wakes whoever waits. A `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether it is time."""

    def set(self) -> None:
        """It is time."""

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until it is time; whether it is."""


class Pace:
    """Spreads rows over time. `rows_per_second` None is no limit."""

    def __init__(
        self, clock: Clock, rows_per_second: float | None = None, stop: Stop | None = None
    ) -> None:
        self._clock = clock
        self._rate = rows_per_second
        self._lock = threading.Lock()
        self._next = clock.monotonic()
        self.stop: Stop = stop or threading.Event()

    def page_rows(self, most: int) -> int:
        """How many rows to take at a time: a second's worth at the most, so that no wait is long."""
        return most if self._rate is None else max(1, min(most, int(self._rate)))

    def wait(self, rows: int) -> None:
        """Wait until these rows, which are done, are within the limit."""
        if self._rate is None or not rows:
            return
        with self._lock:
            self._next = max(self._next, self._clock.monotonic()) + rows / self._rate
            seconds = self._next - self._clock.monotonic()
        self.stop.wait(seconds)
