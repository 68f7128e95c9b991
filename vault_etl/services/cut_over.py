"""The cut-over to the pending generation, tried until nobody is in its way."""

from __future__ import annotations

from typing import Final

import tenacity

from vault_etl.core.audit import AuditRequest
from vault_etl.errors import IncompleteError
from vault_etl.ports.clock import Clock
from vault_etl.ports.progress import Progress
from vault_etl.ports.tokens import Blocked, Swapped, TokenCutOver
from vault_etl.services.backoff import Backoff
from vault_etl.services.pace import Stop

BETWEEN_TRIES: Final = tenacity.wait_exponential(multiplier=0.5, max=4) + tenacity.wait_random(0, 1)
"""Seconds. A try holds loaders up for as long as it waits itself, 0.2 s: so a tenth of the time at most."""


class CutOver:
    """Tries for so many seconds. A try that fails leaves everything as it was."""

    def __init__(
        self, cut_over: TokenCutOver, clock: Clock, stop: Stop, progress: Progress, wait: float
    ) -> None:
        self._cut_over = cut_over
        self._clock = clock
        self._stop = stop
        self._progress = progress
        self._wait = wait

    def __call__(self, request: AuditRequest, generation: int) -> Swapped:
        """Cut over. Raises IncompleteError, naming who is in the way, when the time is up."""
        deadline = self._clock.monotonic() + self._wait
        backoff = Backoff(BETWEEN_TRIES)
        while isinstance(result := self._cut_over.cut_over(request, generation), Blocked):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise _still_blocked(result)
            self._progress.advance(0, waiting_for=", ".join(result.by) or "nobody any more")
            self._stop.wait(min(left, backoff.next()))
        return result


def _still_blocked(blocked: Blocked) -> IncompleteError:
    by = f", held by {', '.join(blocked.by)}" if blocked.by else ""
    return IncompleteError(
        f"everything is ready for the cut-over, but for its locks{by}",
        hint="run it again when they are done, or with a longer --wait: it goes on from here",
    )
