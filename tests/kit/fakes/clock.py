"""A clock that does not move until a test moves the clock."""

from __future__ import annotations

import datetime as dt

from typing_extensions import override

from vault_etl.platform.clock import Clock, Stop

START = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)


class FakeClock(Clock):
    """`Clock` in a test's hand."""

    def __init__(self, start: dt.datetime = START) -> None:
        self._start = start
        self._passed = 0.0

    @override
    def now(self) -> dt.datetime:
        return self._start + dt.timedelta(seconds=self._passed)

    @override
    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds

    def jump(self, by: dt.timedelta) -> None:
        """Set the time of day, while no time passes."""
        self._start += by


class FakeStop(Stop):
    """`Stop` that lets the time pass for which a caller waits."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._is_set = False

    @override
    def is_set(self) -> bool:
        return self._is_set

    @override
    def set(self) -> None:
        self._is_set = True

    @override
    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            self._clock.advance(timeout)
        return self._is_set
