"""Several worker processes of one ingest: start them, sum their counts, restart crashed ones, stop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final, Protocol

from typing_extensions import override

from vault_etl.base.errors import IncompleteError, VaultEtlError
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
from vault_etl.ingest.run import IngestSummary, StopFlag
from vault_etl.ingest.steps import Bounds
from vault_etl.platform.clock import Clock
from vault_etl.platform.waiting import Backoff, Growing
from vault_etl.records.messages import Outcome


class Worker(Protocol):
    """One worker process: an ingest of its own."""

    pid: int
    error: VaultEtlError | None
    """The error that the worker reported before it ended, or None."""

    def watch(self, observer: IngestObserver) -> None:
        """Pass the worker's reports to `observer`, in a thread."""

    def exit_code(self) -> int | None:
        """Return None while it runs, a negative number after a signal. Its reports are passed on first."""

    def stop(self, *, now: bool = False) -> None:
        """Ask the worker to finish what it began; `now`: kill it."""


class WorkerStarter(Protocol):
    """Starts worker processes, each in a slot whose last worker has ended."""

    def start(self, slot: int, max_messages: int | None) -> Worker:
        """Start a worker for at most `max_messages`."""

    def ended(self, slot: int) -> None:
        """Record that the worker of this slot has ended."""


FINAL_CODES: Final = frozenset({2, 65, 77, 78})
"""Usage, damaged keys, a refusal, configuration: a new worker would meet the same error."""

DRAIN_CRASHES: Final = 5
"""Consecutive crashes of one worker, after which a drain gives up. `--follow` never gives up."""

KILL_AFTER_S: Final = 0.8
"""Extra time of a worker, after its own time to stop in, before it is killed."""

TICK_S: Final = 0.1


class Supervisor:
    """One run of several workers. The parent does no work itself, so that it notices every signal."""

    def __init__(
        self,
        starter: WorkerStarter,
        workers: int,
        bounds: Bounds,
        clock: Clock,
        observer: WorkersObserver,
        stop_within: float,
    ) -> None:
        self._starter = starter
        self._bounds = bounds
        self._clock = clock
        self._stop_within = stop_within
        self._slots = [
            WorkerSlot(number, share, observer)
            for number, share in enumerate(_shares(bounds, workers))
        ]
        self._began = clock.monotonic()
        self._depth: QueueDepth | None = None
        self._failure: VaultEtlError | None = None

    def run(self, stop: StopFlag) -> IngestSummary:
        """Run until all workers have finished, one has failed for good, or `stop` is set.

        Raises the error of the worker that failed; IncompleteError if a worker crashed repeatedly,
        or had to be killed at the end; KeyboardInterrupt if `stop` was urgent.
        """
        self._began = self._clock.monotonic()
        try:
            while not (stop.is_set() or self._failure or all(s.finished for s in self._slots)):
                for slot in self._slots:
                    self._watch(slot)
                time.sleep(TICK_S)
            killed = self._end(stop)
        finally:
            for slot in self._slots:
                if slot.worker is not None:
                    slot.worker.stop(now=True)
                    self._ended(slot, slot.worker.exit_code() or 0)
        if self._failure is not None:
            raise self._failure
        if stop.is_urgent():
            raise KeyboardInterrupt
        if killed:
            message = f"{killed} workers had no time to finish what they began"
            raise IncompleteError(message, hint="nothing is lost: what is left comes again")
        return self.summary()

    def summary(self) -> IngestSummary:
        """Return the counts so far, summed over all workers, past ones included."""
        total: Counter[str] = Counter()
        extra_fields = ExtraFields()
        for slot in self._slots:
            total.update(asdict(slot.tally))
            extra_fields.merge(slot.extra_fields)
        seconds = self._clock.monotonic() - self._began
        return IngestSummary.of(Tally(**total), self._depth, seconds, extra_fields)

    def _watch(self, slot: WorkerSlot) -> None:
        """Start the worker of a slot, or check whether it has ended, and decide what follows."""
        now = self._clock.monotonic()
        if slot.finished:
            return
        if slot.worker is None:
            if now >= slot.start_at:
                slot.started(self._starter.start(slot.number, slot.max_messages), now)
            return
        code = slot.worker.exit_code()
        if code is None:
            return
        error = slot.worker.error
        self._ended(slot, code)
        if code == 0:
            slot.finished = True
        elif code in FINAL_CODES and error is not None:
            self._failure = error
        elif slot.max_messages == 0:  # the worker died when all of its share was settled
            slot.finished = True
            self._failure = error
        else:
            slot.crashed(now)
            if slot.crashes >= DRAIN_CRASHES and not self._bounds.follow:
                message = f"a worker ended {slot.crashes} times in a row (exit {code})"
                self._failure = error or IncompleteError(message, hint="see the lines above")

    def _end(self, stop: StopFlag) -> int:
        """Let all workers finish what they began. Return how many still run: they must be killed."""
        running = [slot for slot in self._slots if slot.worker is not None]
        for slot in running:
            if slot.worker is not None:
                slot.worker.stop()
        ends = self._clock.monotonic() + self._stop_within + KILL_AFTER_S
        urgent = False
        while running and self._clock.monotonic() < ends:
            for slot in running:
                if slot.worker is None:
                    continue
                code = slot.worker.exit_code()
                if code is not None:
                    self._ended(slot, code)
                elif stop.is_urgent() and not urgent:
                    slot.worker.stop()
            urgent = urgent or stop.is_urgent()
            running = [slot for slot in running if slot.worker is not None]
            time.sleep(TICK_S)
        return len(running)

    def _ended(self, slot: WorkerSlot, exit_code: int) -> None:
        """Record an end. The worker that ends last has the latest counts of the queue."""
        self._depth = slot.last_depth or self._depth
        slot.ended(exit_code)
        self._starter.ended(slot.number)


def _shares(bounds: Bounds, workers: int) -> list[int | None]:
    """Return how many messages each worker may receive; the sum is `bounds.max_messages`."""
    if bounds.max_messages is None:
        return [None] * workers
    share, rest = divmod(bounds.max_messages, workers)
    return [share + (number < rest) for number in range(workers)]


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

    def started(self, worker: Worker, now: float) -> None:
        """Record that `worker` runs in this slot from `now` on."""
        self.worker = worker
        self._started_at = now
        self._has_advanced = False
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
