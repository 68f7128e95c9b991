"""Run several workers: start them, count over all, start anew what crashed, and end together."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Final

from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.run import IngestSummary, Stop
from vault_etl.ingest.steps import Bounds
from vault_etl.ingest.worker_slot import WorkerSlot
from vault_etl.ingest.workers import WorkersObserver, WorkerStarter
from vault_etl.platform.clock import Clock

FINAL_CODES: Final = frozenset({2, 65, 77, 78})
"""Usage, damaged keys, a refusal, configuration: a worker started anew would meet the same."""

DRAIN_CRASHES: Final = 5
"""Crashes in a row of one worker, after which a drain gives up. `--follow` never does."""

KILL_AFTER_S: Final = 0.8
"""What a worker gets on top of its own time to stop in."""

TICK_S: Final = 0.1


class Supervisor:
    """One run of several workers. The parent does no work itself, so that it is always heard."""

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

    def run(self, stop: Stop) -> IngestSummary:
        """Until all workers have finished, one has failed for good, or `stop` is set.

        Raises the error of the worker that failed; IncompleteError for one that crashed again and
        again, or had to be killed at the end; KeyboardInterrupt if `stop` was urgent.
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
        """What has become of the messages so far, over all workers and those before them."""
        total: Counter[str] = Counter()
        extra_fields = ExtraFields()
        for slot in self._slots:
            total.update(asdict(slot.tally))
            extra_fields.merge(slot.extra_fields)
        seconds = self._clock.monotonic() - self._began
        return IngestSummary.of(Tally(**total), self._depth, seconds, extra_fields)

    def _watch(self, slot: WorkerSlot) -> None:
        """Start it, see whether it has ended, and decide what that means."""
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
        elif slot.max_messages == 0:  # it died when all of its share was settled
            slot.finished = True
            self._failure = error
        else:
            slot.crashed(now)
            if slot.crashes >= DRAIN_CRASHES and not self._bounds.follow:
                message = f"a worker ended {slot.crashes} times in a row (exit {code})"
                self._failure = error or IncompleteError(message, hint="see the lines above")

    def _end(self, stop: Stop) -> int:
        """Let all finish what they began; how many had to be killed."""
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
        """Who ends last knows best how deep the queue is."""
        self._depth = slot.last_depth or self._depth
        slot.ended(exit_code)
        self._starter.ended(slot.number)


def _shares(bounds: Bounds, workers: int) -> list[int | None]:
    """How many messages each worker may receive, so that they do not receive more together."""
    if bounds.max_messages is None:
        return [None] * workers
    share, rest = divmod(bounds.max_messages, workers)
    return [share + (number < rest) for number in range(workers)]
