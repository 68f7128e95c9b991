"""How fast a rotation goes, all workers together, and whether it shall end."""

from __future__ import annotations

import threading
from typing import Protocol

from vault_etl.platform.clock import Clock


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
