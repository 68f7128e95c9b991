"""A clock that runs by itself, as fast as a test likes."""

from __future__ import annotations

import datetime as dt
import time

from tests.kit.fakes.clock import START


class RunningClock:
    """`Clock` for tests with threads: `speed` seconds of its own in each real second."""

    def __init__(self, speed: float = 1) -> None:
        self._speed = speed
        self._started = time.monotonic()

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return START + dt.timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return (time.monotonic() - self._started) * self._speed

    def advance(self, seconds: float) -> None:
        """Let time pass, by waiting for it."""
        time.sleep(seconds / self._speed)
