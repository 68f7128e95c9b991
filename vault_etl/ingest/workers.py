"""Several worker processes of one ingest: start them, sum their counts, restart crashed ones, stop."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Final, Protocol

from vault_etl.base import logs
from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.observer import WorkersObserver
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.run import IngestSummary, StopFlag
from vault_etl.ingest.steps import Bounds
from vault_etl.ingest.worker_slot import Worker, WorkerSlot
from vault_etl.platform.clock import Clock


class WorkerStarter(Protocol):
    """Starts worker processes, each in a slot whose last worker has ended."""

    def start(self, slot: int, max_messages: int | None) -> Worker:
        """Start a worker for at most `max_messages`. Raises IncompleteError if no process can be started."""

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
                self._start(slot, now)
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
            message = f"a worker ended {slot.crashes + 1} times in a row (exit {code})"
            self._crashed(slot, now, error or IncompleteError(message, hint="see the lines above"))

    def _start(self, slot: WorkerSlot, now: float) -> None:
        """Start the worker of a slot. The other workers continue if the system allows no process or thread for it."""
        slot.starts(now)
        try:
            slot.started(self._starter.start(slot.number, slot.max_messages))
        except IncompleteError as error:
            logs.get_logger().warning("no worker was started", error=str(error), hint=error.hint)
            if slot.worker is not None:
                slot.worker.stop(now=True)
                self._ended(slot, slot.worker.exit_code() or 0)
            self._crashed(slot, now, error)

    def _crashed(self, slot: WorkerSlot, now: float, error: VaultEtlError) -> None:
        slot.crashed(now)
        if slot.crashes >= DRAIN_CRASHES and not self._bounds.follow:
            self._failure = error

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
