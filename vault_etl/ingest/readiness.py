"""Whether an ingest is ready, as every worker of it runs and none lacks anything; and healthy, as none is stuck."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.steps import STUCK_SECONDS

STARTING: Final = "starting"
STOPPING: Final = "stopping"
SILENT: Final = "silent"


class Readiness:
    """`WorkersObserver` that remembers the last state of each worker."""

    def __init__(
        self, workers: int, stopping: Callable[[], bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._stopping = stopping
        self._now = now
        self._states: dict[int, IngestState] = {}
        self._heard_at: dict[int, float] = {}
        self._lock = threading.Lock()

    def reason(self) -> str | None:
        """Why it is not ready, in a word or two, or None."""
        if self._stopping():
            return STOPPING
        with self._lock:
            states = list(self._states.values())
        away = next((state.away for state in states if state.away), None)
        if away is None and len(states) < self._workers:
            return STARTING
        return away or (None if all(state.ready for state in states) else STOPPING)

    def unhealthy(self) -> str | None:
        """A worker that is stuck, or was not heard of for as long: only a new process helps. Or None."""
        with self._lock:
            stuck = next((state.stuck for state in self._states.values() if state.stuck), None)
            heard_at = min(self._heard_at.values(), default=math.inf)
        if stuck is not None:
            return f"stuck: {stuck}"
        return SILENT if self._now() - heard_at >= STUCK_SECONDS else None

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        with self._lock:
            self._heard_at[pid] = self._now()
        return _Worker(self, pid)

    def worker_ended(self, pid: int, exit_code: int) -> None:  # noqa: ARG002 - why it did is all the same
        """See `WorkersObserver.worker_ended`."""
        with self._lock:
            self._states.pop(pid, None)
            self._heard_at.pop(pid, None)

    def told(self, pid: int, state: IngestState) -> None:
        """The state of a worker."""
        with self._lock:
            self._states[pid] = state
            self._heard_at[pid] = self._now()


class _Worker:
    def __init__(self, readiness: Readiness, pid: int) -> None:
        self._readiness = readiness
        self._pid = pid

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        self._readiness.told(self._pid, state)
