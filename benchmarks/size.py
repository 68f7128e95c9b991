"""The amounts of a benchmark."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """Rounds, and amounts of one round."""

    name: str
    rounds: int
    events: int
    """Of one run of `ingest`; its peers load fewer."""
    rows: int
    """Of a table that a command goes through."""
    growth: tuple[int, ...]
    """Rows of the vaults that are compared as they grow."""
    backlogs: tuple[int, ...]
    """Messages of the queues whose ingests are compared."""
    delays_ms: tuple[int, ...] = (0, 5, 10, 20)
    """Delays of the queue's answers."""

    def say(self, text: str) -> None:
        """Report progress on standard error."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


FULL: Final = Size("full", 5, 48_000, 25_000, (100_000, 1_000_000), (10_000, 1_000_000))
HUGE: Final = Size(
    "huge", 1, 80_000, 1_000_000, (100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000)
)
QUICK: Final = Size("quick", 1, 20_000, 20_000, (10_000, 100_000), (10_000, 100_000))
TINY: Final = Size("tiny", 1, 200, 1_000, (1_000, 2_000), (100, 200), (0,))
SIZES: Final = {size.name: size for size in (FULL, HUGE, QUICK, TINY)}
