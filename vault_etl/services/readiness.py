"""Whether an ingest is ready: every worker of it runs, and none lacks anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from vault_etl.ports.ingest_observer import BatchReport, IngestObserver, IngestState, Movement

STARTING: Final = "starting"
STOPPING: Final = "stopping"


class Readiness:
    """`WorkersObserver` that remembers the last state of each worker."""

    def __init__(self, workers: int, stopping: Callable[[], bool]) -> None:
        self._workers = workers
        self._stopping = stopping
        self._states: dict[int, IngestState] = {}
        self._lock = threading.Lock()

    def reason(self) -> str | None:
        """Why it is not ready, in one word, or None."""
        if self._stopping():
            return STOPPING
        with self._lock:
            states = list(self._states.values())
        away = next((state.away for state in states if state.away), None)
        if away is None and len(states) < self._workers:
            return STARTING
        return away or (None if all(state.ready for state in states) else STOPPING)

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        return _Worker(self, pid)

    def worker_ended(self, pid: int, exit_code: int) -> None:  # noqa: ARG002 - why it did is all the same
        """See `WorkersObserver.worker_ended`."""
        with self._lock:
            self._states.pop(pid, None)

    def told(self, pid: int, state: IngestState) -> None:
        """The state of a worker."""
        with self._lock:
            self._states[pid] = state


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
