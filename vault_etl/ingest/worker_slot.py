"""The place of one worker, what all that stood in it have told, and when the next may start."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import tenacity

from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.workers import Worker, WorkersObserver
from vault_etl.platform.backoff import Backoff
from vault_etl.records.messages import Outcome

RESTART_DELAY: Final = tenacity.wait_exponential(multiplier=0.5, max=30)
"""Seconds before a crashed worker is started anew: 0.5, 1, 2, … 30."""

STEADY_SECONDS: Final = 60.0
"""A worker that ran for so long did not crash at once: its next delay is the first one again.

So is that of one which stored something new: a job that advances is not to wait, and one that only
meets the same messages again does not advance.
"""


class WorkerSlot:
    """An `IngestObserver` of its workers. `share` is how many messages it may receive, or None."""

    def __init__(self, number: int, share: int | None, observer: WorkersObserver) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.finished = share == 0
        self.crashes = 0
        """In a row."""
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
        """What is left of the share for the next worker."""
        tally = self.tally
        return None if self._share is None else self._share - tally.received + tally.given_back

    @property
    def tally(self) -> Tally:
        """What became of the messages so far."""
        with self._lock:
            return replace(self._tally)

    @property
    def extra_fields(self) -> Mapping[str, int]:
        """The unknown fields that were dropped so far, by name."""
        with self._lock:
            return self._extra_fields.counts

    def started(self, worker: Worker, now: float) -> None:
        """A worker stands here from `now` on."""
        self.worker = worker
        self._started_at = now
        self._has_advanced = False
        self._observer = self._workers.worker(worker.pid)
        worker.watch(self)

    def ended(self, exit_code: int) -> None:
        """The worker is gone. What it had in hand the queue shows again: it counts as given back."""
        if self.worker is not None:
            self._workers.worker_ended(self.worker.pid, exit_code)
        self.worker = None
        with self._lock:
            tally = self._tally
            # A batch is told of at once, a receive a moment later: death may come in between.
            tally.received = max(tally.received, tally.settled + tally.given_back)
            tally.given_back = tally.received - tally.settled

    def crashed(self, now: float) -> None:
        """It may be started anew, but not at once."""
        if self._has_advanced or now >= self._started_at + STEADY_SECONDS:
            self._backoff.reset()
            self.crashes = 0
        self.crashes += 1
        self.start_at = now + self._backoff.next()

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        with self._lock:
            setattr(self._tally, movement, getattr(self._tally, movement) + messages)
        if self._observer is not None:
            self._observer.moved(movement, messages)

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        with self._lock:
            outcomes = report.outcomes
            self._tally.add(outcomes)
            self._extra_fields.merge(report.extra_fields)
            new = outcomes.get(Outcome.STORED, 0) + outcomes.get(Outcome.QUARANTINED, 0)
            self._has_advanced = self._has_advanced or new > 0
        if self._observer is not None:
            self._observer.batch(report)

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        self.last_depth = state.depth or self.last_depth
        if self._observer is not None:
            self._observer.state(state)
