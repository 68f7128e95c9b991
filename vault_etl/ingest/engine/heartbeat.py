"""How many messages can be kept from others: no more than can be extended in time."""

from __future__ import annotations

from collections import deque
from typing import Final

_HELD: Final = 2.5
"""Per heartbeat and second of visibility, over the seconds of one extension of ten: half of the
10 · V/2 that can be extended in time (docs/design.md, Ingest)."""

UNTIL_KNOWN: Final = 0.1
"""Seconds that one extension is taken to take before one was made."""

REMEMBERED: Final = 100
REMEMBERED_SECONDS: Final = 300.0
"""For so long an extension counts. For ever, and one slow one would be the end: what is held by few
is written before it is due, so no faster one would ever be seen."""


class Heartbeat:
    """The bound of docs/design.md, Ingest. Every `now` is in monotonic seconds."""

    def __init__(self, heartbeats: int, visibility: float) -> None:
        self._held = _HELD * heartbeats * visibility
        self._times: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.bound = int(self._held / UNTIL_KNOWN)
        """How many messages may be held."""

    def took(self, seconds: float, now: float) -> None:
        """One extension of ten messages, ended `now`, took so long."""
        self._times.append((now, max(seconds, 0.001)))
        self._reckon()

    def forget(self, now: float) -> None:
        """Let go of what is too old to count."""
        if self._times and self._times[0][0] <= now - REMEMBERED_SECONDS:
            while self._times and self._times[0][0] <= now - REMEMBERED_SECONDS:
                self._times.popleft()
            self._reckon()

    def _reckon(self) -> None:
        seconds = sorted(seconds for _, seconds in self._times) or [UNTIL_KNOWN]
        self.bound = int(self._held / seconds[int(0.99 * len(seconds))])
