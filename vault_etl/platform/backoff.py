"""How long to wait before the next try: ever longer, up to a bound."""

from __future__ import annotations

import tenacity
from tenacity.wait import wait_base


class Backoff:
    """The waits of one tenacity strategy, one after the other. Its loop is not used (ADR 8)."""

    def __init__(self, wait: wait_base) -> None:
        self._wait = wait
        self.reset()

    def next(self) -> float:
        """Seconds until the next try."""
        seconds = self._wait(self._tries)
        self._tries.prepare_for_next_attempt()
        return seconds

    def reset(self) -> None:
        """The next wait is the first one again."""
        self._tries = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
