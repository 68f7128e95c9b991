"""Readiness and health of an ingest.

An ingest is ready if every worker runs and none misses a dependency. It is healthy if no worker is stuck.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from vault_etl.ingest.observer import (
    BatchReport,
    IngestObserver,
    IngestState,
    Movement,
    WorkersObserver,
)
from vault_etl.ingest.steps import STUCK_SECONDS

STARTING: Final = "starting"
STOPPING: Final = "stopping"
SILENT: Final = "silent"


class Readiness(WorkersObserver):
    """Remembers the last state of each worker, and answers the probes /readyz and /healthz."""

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
        """Return why the ingest is not ready, in a word or two, or None."""
        if self._stopping():
            return STOPPING
        with self._lock:
            states = list(self._states.values())
        unavailable = next((state.unavailable for state in states if state.unavailable), None)
        if unavailable is None and len(states) < self._workers:
            return STARTING
        return unavailable or (None if all(state.ready for state in states) else STOPPING)

    def unhealthy(self) -> str | None:
        """Return why a new process is needed, or None: a worker is stuck, or silent for as long."""
        with self._lock:
            stuck = next((state.stuck for state in self._states.values() if state.stuck), None)
            heard_at = min(self._heard_at.values(), default=math.inf)
        if stuck is not None:
            return f"stuck: {stuck}"
        return SILENT if self._now() - heard_at >= STUCK_SECONDS else None

    @override
    def worker(self, pid: int) -> IngestObserver:
        with self._lock:
            self._heard_at[pid] = self._now()
        return _ReadinessOfWorker(self, pid)

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        with self._lock:
            self._states.pop(pid, None)
            self._heard_at.pop(pid, None)

    def record(self, pid: int, state: IngestState) -> None:
        """Remember the state of a worker."""
        with self._lock:
            self._states[pid] = state
            self._heard_at[pid] = self._now()


class _ReadinessOfWorker(IngestObserver):
    def __init__(self, readiness: Readiness, pid: int) -> None:
        self._readiness = readiness
        self._pid = pid

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        """Ignore movements: only states matter."""

    @override
    def batch(self, report: BatchReport) -> None:
        """Ignore batches: only states matter."""

    @override
    def state(self, state: IngestState) -> None:
        self._readiness.record(self._pid, state)
