"""A clock that stands still until it is told to move."""

from __future__ import annotations

import datetime as dt

START = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)


class FakeClock:
    """`Clock` in a test's hand."""

    def __init__(self, start: dt.datetime = START) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return self._start + dt.timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds

    def jump(self, by: dt.timedelta) -> None:
        """Set the time of day, while no time passes."""
        self._start += by


class FakeStop:
    """`Stop` that lets the time pass for which somebody waits."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._is_set = False

    def is_set(self) -> bool:
        """See `Stop.is_set`."""
        return self._is_set

    def set(self) -> None:
        """See `Stop.set`."""
        self._is_set = True

    def wait(self, timeout: float) -> bool:
        """See `Stop.wait`."""
        if not self._is_set:
            self._clock.advance(timeout)
        return self._is_set
