"""The cut-over to the pending generation, tried until nobody is in its way."""

from __future__ import annotations

from collections.abc import Sequence

from vault_etl.audit.entries import AuditRequest
from vault_etl.platform.clock import Clock, Progress, Stop
from vault_etl.platform.waiting import until_unblocked
from vault_etl.rotation.next_tokens import Swapped, TokenCutOver


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

    def __call__(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> Swapped:
        """Cut over; `partitions` were checked. Raises IncompleteError when the time is up, naming who is in the way."""
        return until_unblocked(
            lambda: self._cut_over.cut_over(request, generation, partitions),
            "everything is ready for the cut-over",
            self._clock,
            self._stop,
            self._progress,
            self._wait,
        )
