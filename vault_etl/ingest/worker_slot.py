"""The place of one worker process of an ingest: its restarts, and the counts of all workers that ran in it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from typing_extensions import override

from vault_etl.base.errors import VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.observer import (
    BatchReport,
    IngestObserver,
    IngestState,
    Movement,
    WorkersObserver,
)
from vault_etl.ingest.queue import QueueDepth
from vault_etl.platform.waiting import Backoff, Growing
from vault_etl.records.messages import Outcome


class Worker(Protocol):
    """One worker process: an ingest of its own."""

    pid: int
    error: VaultEtlError | None
    """The error that the worker reported before it ended, or None."""

    def watch(self, observer: IngestObserver) -> None:
        """Pass the worker's reports to `observer`, in a thread. Raises IncompleteError if none can be started."""

    def exit_code(self) -> int | None:
        """Return None while it runs, a negative number after a signal. Its reports are passed on first."""

    def stop(self, *, now: bool = False) -> None:
        """Ask the worker to finish what it began; `now`: kill it."""


RESTART_DELAY: Final = Growing(0.5, 30)
"""Seconds before a crashed worker is started again: 0.5, 1, 2, … 30."""

STEADY_SECONDS: Final = 60.0
"""Running time after which a crash counts as the first: the delay starts again at 0.5 s.

The same holds if the worker stored or quarantined a new message: a job that advances must not wait.
"""


class WorkerSlot(IngestObserver):
    """The place of one worker: its restarts, and the counts of all workers that ran in it.

    `share` is the number of messages that they may receive together, or None.
    """

    def __init__(self, number: int, share: int | None, observer: WorkersObserver) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.finished = share == 0
        self.crashes = 0
        """The number of consecutive crashes."""
        self.start_at = 0.0
        self.last_depth: QueueDepth | None = None
        self._share = share
        self._workers = observer
        self._observer: IngestObserver | None = None
        self._tally = Tally()
        self._extra_fields = ExtraFields()
        self._started_at = 0.0
        self._has_advanced = False
        self._lock = threading.Lock()
        self._backoff = Backoff(RESTART_DELAY)

    @property
    def max_messages(self) -> int | None:
        """The rest of the share, for the next worker."""
        tally = self.tally
        return None if self._share is None else self._share - tally.received + tally.given_back

    @property
    def tally(self) -> Tally:
        """The counts of the messages so far."""
        with self._lock:
            return replace(self._tally)

    @property
    def extra_fields(self) -> Mapping[str, int]:
        """The number of unknown fields that were dropped so far, by name."""
        with self._lock:
            return self._extra_fields.counts

    def starts(self, now: float) -> None:
        """Record that a worker is about to be started."""
        self._started_at = now
        self._has_advanced = False

    def started(self, worker: Worker) -> None:
        """Record that `worker` runs in this slot. Raises IncompleteError as `Worker.watch` does."""
        self.worker = worker
        self._observer = self._workers.worker(worker.pid)
        worker.watch(self)

    def ended(self, exit_code: int) -> None:
        """Record the end of the worker. The queue shows its held messages again: they count as given back."""
        if self.worker is not None:
            self._workers.worker_ended(self.worker.pid, exit_code)
        self.worker = None
        with self._lock:
            tally = self._tally
            # A batch is reported at once, a receive a moment later: the worker may die in between.
            tally.received = max(tally.received, tally.settled + tally.given_back)
            tally.given_back = tally.received - tally.settled

    def crashed(self, now: float) -> None:
        """Schedule the next start, with a delay."""
        if self._has_advanced or now >= self._started_at + STEADY_SECONDS:
            self._backoff.reset()
            self.crashes = 0
        self.crashes += 1
        self.start_at = now + self._backoff.next()

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        with self._lock:
            setattr(self._tally, movement, getattr(self._tally, movement) + messages)
        if self._observer is not None:
            self._observer.moved(movement, messages)

    @override
    def batch(self, report: BatchReport) -> None:
        with self._lock:
            outcomes = report.outcomes
            self._tally.add(outcomes)
            self._extra_fields.merge(report.extra_fields)
            new = outcomes.get(Outcome.STORED, 0) + outcomes.get(Outcome.QUARANTINED, 0)
            self._has_advanced = self._has_advanced or new > 0
        if self._observer is not None:
            self._observer.batch(report)

    @override
    def state(self, state: IngestState) -> None:
        self.last_depth = state.depth or self.last_depth
        if self._observer is not None:
            self._observer.state(state)
