"""Reviews of how many threads receive and delete."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from vault_etl.ingest.engine.crew import Span
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.threads import EngineLock
from vault_etl.platform.clock import Clock

REVIEW_SECONDS: Final = 0.1


class CrewReviews:
    """Tells the engine's crews what happened since the last review. `core` returns the CPU seconds of this process."""

    def __init__(
        self,
        engine: IngestEngine,
        lock: EngineLock,
        clock: Clock,
        core: Callable[[], float] = time.process_time,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._clock = clock
        self._core = core
        self._last = (clock.monotonic(), core())
        """The time and the CPU seconds at the last review."""

    def review(self) -> bool:
        """Review the crews, if the last review was `REVIEW_SECONDS` ago. Return whether it was."""
        engine = self._engine
        now, (last, core) = self._clock.monotonic(), self._last
        if now - last < REVIEW_SECONDS:
            return False
        with self._lock:
            self._last = (now, self._core())
            span = Span(
                seconds=now - last,
                core=(self._last[1] - core) / (now - last),
                buffered=engine.buffered,
                to_delete=engine.to_delete(now),
            )
            engine.crews.review(span)
        return True
