"""Run an ingest: threads take the steps until the queue is empty or a stop is requested."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final, Protocol, Self

from vault_etl.base import logs
from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.crew_reviews import CrewReviews
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.steps import IngestSteps
from vault_etl.ingest.threads import MORE_THREADS_HINT, Role
from vault_etl.platform.clock import Clock

HEARTBEATS: Final = 2

EXTRA_WAIT_S: Final = 1
"""Longest wait of a long poll of a receiver that is not always needed: an end waits for it."""

GIVE_BACK_MARGIN_S: Final = 3.0
"""Last part of the time to stop in, reserved for giving back what could not be committed."""

HEARD_WITHIN_S: Final = 0.1
"""Longest time until a signal is noticed."""

URGENT_S: Final = 2.0
"""Time for giving back after an urgent stop, which does not wait for the batch in hand."""


class StopFlag(Protocol):
    """A request to end, polled by an ingest. Unlike `platform.pace.Stop`, it knows an urgent stop."""

    def is_set(self) -> bool:
        """Return True to end after the work that was begun."""

    def is_urgent(self) -> bool:
        """Return True to end at once."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Options of a run. Times are in seconds; `wait`, of one long poll, is from 0 to 20."""

    wait: int = 1
    receivers: int = 4
    stop_within: float = 28.0
    """Time from the signal to the end: below the 30 s after which orchestrators kill a process."""
    tick: float = 0.5
    """Longest sleep of a thread that has no work."""


@dataclass(slots=True)
class IngestSummary(Tally):
    """The result of a run.

    Always: received = stored + duplicates + quarantined + already_quarantined + given_back.
    """

    left_in_flight: int = 0
    left_delayed: int = 0
    seconds: float = 0.0
    messages_per_second: float = 0.0
    extra_fields: int = 0
    """Unknown fields that were dropped."""
    extra_field_names: Mapping[str, int] = field(default_factory=dict)
    """Number of dropped fields by name, for names that may be shown."""

    @classmethod
    def of(
        cls, tally: Tally, depth: QueueDepth | None, seconds: float, extra_fields: ExtraFields
    ) -> Self:
        """Make a summary of the counts, the duration in seconds, and the queue's last counts."""
        return cls(
            **asdict(tally),
            left_in_flight=depth.in_flight if depth else 0,
            left_delayed=depth.delayed if depth else 0,
            seconds=round(seconds, 3),
            messages_per_second=round(
                (tally.received - tally.given_back) / max(round(seconds, 3), 0.001), 1
            ),
            extra_fields=extra_fields.total,
            extra_field_names=extra_fields.most(),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the summary in the order of the fields."""
        return asdict(self)


class Ingest:
    """One run. Outcomes of messages are values; an error that waiting cannot fix ends the run.

    `watch` is one more step, repeated by a thread of its own.
    """

    def __init__(
        self,
        steps: IngestSteps,
        clock: Clock,
        options: IngestOptions,
        watch: Callable[[], bool] | None = None,
    ) -> None:
        self._steps = steps
        self._clock = clock
        self._options = options
        self._watch = watch
        self._began = 0.0
        self._ends = 0.0
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._reviews = CrewReviews(steps.engine, steps.lock, clock)
        self._running: set[str] = set()
        """The names of the threads."""
        self._is_short_of_threads = False

    def run(self, stop: StopFlag) -> IngestSummary:
        """Load until the queue is empty, the maximum is received, or `stop` is set.

        The main thread only waits, so that it always notices a signal. Raises the errors of the
        queue, KMS and the database when patience is over, after giving back what is not committed;
        IncompleteError if the time to stop in was too short for that, or for a write that was begun, or
        if the system allows too few threads; KeyboardInterrupt if `stop` was urgent.
        """
        self._began = self._clock.monotonic()
        if stop.is_set():  # before the threads start, so that no long poll must be waited for
            self._steps.engine.stop()
        try:
            self._start_all()
            engine = self._steps.engine
            self._wait(lambda: bool(self._failure) or engine.is_finished or stop.is_set())
        except BaseException as error:  # noqa: BLE001 - raised below, when what is held is settled
            self._failure = self._failure or error
        try:
            clean = self._settle(stop)
        finally:
            self._over.set()
        if clean and self._failure is None and not stop.is_urgent():
            self._measure()
        self._steps.tell()
        if self._failure is not None:
            raise self._failure
        if stop.is_urgent():
            raise KeyboardInterrupt
        if not clean:
            message = "the time to stop in was too short to finish what was begun"
            raise IncompleteError(message, hint="nothing is lost: what is left comes again")
        return self.summary()

    def summary(self) -> IngestSummary:
        """Return the counts so far."""
        seconds = self._clock.monotonic() - self._began
        steps = self._steps
        with steps.lock:
            return IngestSummary.of(steps.engine.tally, steps.depth, seconds, steps.extra_fields)

    @property
    def has_left_some(self) -> bool:
        """True if the source's own counts say that messages remain to be loaded."""
        depth = self._steps.depth
        return depth is None or bool(depth.visible or depth.delayed)

    def _work(self) -> list[tuple[str, Role, Callable[[], bool]]]:
        """The threads that each live for the whole run."""
        steps = self._steps
        return [
            ("write", Role.WRITE, steps.write),
            *((f"hold-{n}", Role.HOLD, steps.hold) for n in range(HEARTBEATS)),
            ("give-back", Role.GIVE_BACK, steps.give_back),
            ("review", Role.REVIEW, steps.review),
            *([("watch", Role.WATCH, self._watch)] if self._watch else []),
        ]

    def _start_all(self) -> None:
        """Start the threads of the whole run and the least crews. Receivers are last: the others settle for them."""
        try:
            for name, role, step in self._work():
                self._start(name, role, step)
            self._start_crews()
        except RuntimeError:
            message = "the system allows too few threads"
            raise IncompleteError(message, hint=MORE_THREADS_HINT) from None

    def _grow(self) -> None:
        """Start what the crews lack. If the system allows no more threads, they stay as they are."""
        crews = self._steps.engine.crews
        try:
            self._start_crews()
        except RuntimeError:
            with self._steps.lock:
                for name, crew in (("receive", crews.receivers), ("delete", crews.deleters)):
                    crew.rest(self._first_missing(name, crew.size))
            if not self._is_short_of_threads:
                self._is_short_of_threads = True
                logs.get_logger().warning("no more threads", running=len(self._running))

    def _first_missing(self, crew: str, wanted: int) -> int:
        names = (f"{crew}-{n}" for n in range(wanted))
        return next((n for n, name in enumerate(names) if name not in self._running), wanted)

    def _start_crews(self) -> None:
        """Start the receivers and deleters that the engine wants and that do not run."""
        steps, crews, least = self._steps, self._steps.engine.crews, self._options.receivers
        for n in range(crews.deleters.size):
            self._start(
                f"delete-{n}", Role.DELETE, steps.delete, partial(self._is_wanted, Role.DELETE, n)
            )
        for n in range(crews.receivers.size):
            wait = self._options.wait if n < least else min(self._options.wait, EXTRA_WAIT_S)
            step = partial(steps.receive, n, wait)
            self._start(
                f"receive-{n}", Role.RECEIVE, step, partial(self._is_wanted, Role.RECEIVE, n)
            )

    def _is_wanted(self, role: Role, number: int) -> bool:
        crews = self._steps.engine.crews
        return number < (crews.receivers if role is Role.RECEIVE else crews.deleters).size

    def _start(
        self,
        name: str,
        role: Role,
        step: Callable[[], bool],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        if name in self._running:
            return
        self._running.add(name)
        work = partial(self._repeat, name, role, step, is_wanted)
        try:
            threading.Thread(target=work, name=name, daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            self._running.discard(name)
            raise

    def _repeat(
        self, name: str, role: Role, step: Callable[[], bool], is_wanted: Callable[[], bool]
    ) -> None:
        """Repeat one step, in a thread of its own. The first failure of any thread ends the run."""
        lock, busy = self._steps.lock, self._steps.busy
        try:
            while is_wanted() and not self._over.is_set():
                busy[name] = self._clock.monotonic()
                did_something = step()
                busy.pop(name, None)
                if not did_something:
                    lock.wait(role, self._options.tick)
            self._running.discard(name)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            with lock:
                self._failure = self._failure or error
            lock.wake(Role.END)

    def _wait(self, condition: Callable[[], bool]) -> None:
        lock = self._steps.lock
        while True:
            with lock:
                if condition():
                    return
                lock.wait(Role.END, min(self._options.tick, HEARD_WITHIN_S))
            if self._failure is None and self._reviews.review():
                self._grow()

    def _measure(self) -> None:
        """Read the queue's counts once more, within the remaining time; the summary may lack them."""

        def ask() -> None:
            with suppress(VaultEtlError):
                self._steps.measure()

        asking = threading.Thread(target=ask, name="measure", daemon=True)
        with suppress(RuntimeError):  # the system allows no more threads
            asking.start()
            asking.join(max(HEARD_WITHIN_S, self._ends - self._clock.monotonic()))

    def _settle(self, stop: StopFlag) -> bool:
        """Commit, delete and give back what is held. Return True if all of it was done in time."""
        engine, clock = self._steps.engine, self._clock
        self._ends = ends = clock.monotonic() + self._options.stop_within
        with self._steps.lock:
            engine.stop(give_back=self._failure is not None)
            self._steps.lock.changed()
        margin = ends - min(GIVE_BACK_MARGIN_S, self._options.stop_within / 2)
        self._wait(lambda: engine.is_finished or stop.is_urgent() or clock.monotonic() >= margin)
        if engine.is_finished:
            return True
        if stop.is_urgent():
            ends = clock.monotonic() + URGENT_S
        with self._steps.lock:
            given_up = engine.abandon()
            self._steps.lock.changed()
        self._wait(lambda: not engine.held or clock.monotonic() >= ends)
        return engine.is_finished and not given_up
