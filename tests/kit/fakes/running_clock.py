"""A clock that runs by itself, as fast as a test likes."""

from __future__ import annotations

import datetime as dt
import time

from typing_extensions import override

from tests.kit.fakes.clock import START
from vault_etl.platform.clock import Clock


class RunningClock(Clock):
    """`Clock` for tests with threads: `speed` seconds of its own in each real second."""

    def __init__(self, speed: float = 1) -> None:
        self._speed = speed
        self._started = time.monotonic()

    @override
    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.monotonic())

    @override
    def monotonic(self) -> float:
        return (time.monotonic() - self._started) * self._speed

    def advance(self, seconds: float) -> None:
        """Let time pass, by waiting for it."""
        time.sleep(seconds / self._speed)
