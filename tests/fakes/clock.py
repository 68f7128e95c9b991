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
