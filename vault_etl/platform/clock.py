"""Time, from outside."""

from __future__ import annotations

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> dt.datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds from some start, never backwards."""
