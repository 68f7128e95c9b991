"""Run an ingest: threads that take the steps, until the queue is empty or somebody says stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final, Protocol, Self

from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.steps import IngestSteps
from vault_etl.platform.clock import Clock

DELETERS: Final = 2
HEARTBEATS: Final = 2

GIVE_BACK_MARGIN_S: Final = 3.0
"""The end of the time to stop in, which is kept for giving back what could not be committed."""

HEARD_WITHIN_S: Final = 0.1
"""How long a signal waits to be noticed."""

URGENT_S: Final = 2.0
"""For giving back, when somebody will not even wait for the batch in hand."""


class Stop(Protocol):
    """Asked again and again whether to end."""

    def is_set(self) -> bool:
        """Whether to end, after what was begun."""

    def is_urgent(self) -> bool:
        """Whether to end at once."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a run behaves. Times are in seconds; `wait`, of one long poll, is from 0 to 20."""

    wait: int = 1
    receivers: int = 4
    stop_within: float = 28.0
    """From the signal to the end: below the 30 s after which orchestrators kill."""
    tick: float = 0.5
    """How long a thread that finds nothing to do sleeps at most."""


@dataclass(slots=True)
class IngestSummary(Tally):
    """received = stored + duplicates + quarantined + already_quarantined + given_back, always."""

    left_in_flight: int = 0
    left_delayed: int = 0
    seconds: float = 0.0
    messages_per_second: float = 0.0
    extra_fields: int = 0
    """Unknown fields that were dropped."""
    extra_field_names: Mapping[str, int] = field(default_factory=dict)
    """How many of each name, as far as it may be shown."""

    @classmethod
    def of(
        cls, tally: Tally, depth: QueueDepth | None, seconds: float, extra_fields: ExtraFields
    ) -> Self:
        """Of what became of the messages in so many seconds, and what the queue said last."""
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
        """The summary in the order of the fields."""
        return asdict(self)


class Ingest:
    """One run. What a message became is a value; what cannot be waited for ends the run.

    `watch` is one more step, of what looks at something else meanwhile.
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

    def run(self, stop: Stop) -> IngestSummary:
        """Load until the queue is empty, as many as asked for are received, or `stop` is set.

        The main thread only waits, so that a signal is always heard. Raises what the queue, KMS
        and the database raise when patience is over, after giving back what is not committed;
        IncompleteError if the time to stop in was too short for that, or for a write that was begun;
        KeyboardInterrupt if `stop` was urgent.
        """
        self._began = self._clock.monotonic()
        if stop.is_set():  # before the threads are: no long poll need be begun, and waited for
            self._steps.engine.stop()
        threads = [
            threading.Thread(target=self._repeat, args=(name, step), name=name, daemon=True)
            for name, step in self._work()
        ]
        for thread in threads:
            thread.start()
        try:
            self._wait(lambda: self._is_over or stop.is_set())
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
            message = "there was no time to finish what was begun"
            raise IncompleteError(message, hint="nothing is lost: what is left comes again")
        return self.summary()

    def summary(self) -> IngestSummary:
        """What has become of the messages so far."""
        seconds = self._clock.monotonic() - self._began
        steps = self._steps
        with steps.changed:
            return IngestSummary.of(steps.engine.tally, steps.depth, seconds, steps.extra_fields)

    @property
    def has_left_some(self) -> bool:
        """Whether something of the source is still to be loaded, as far as it says."""
        depth = self._steps.depth
        return depth is None or bool(depth.visible or depth.delayed)

    def _work(self) -> list[tuple[str, Callable[[], bool]]]:
        steps, wait = self._steps, self._options.wait
        receive = [partial(steps.receive, n, wait) for n in range(self._options.receivers)]
        return [
            *((f"receive-{n}", step) for n, step in enumerate(receive)),
            ("write", steps.write),
            *((f"delete-{n}", steps.delete) for n in range(DELETERS)),
            *((f"hold-{n}", steps.hold) for n in range(HEARTBEATS)),
            ("give-back", steps.give_back),
            ("look", steps.look),
            *([("watch", self._watch)] if self._watch else []),
        ]

    def _repeat(self, name: str, step: Callable[[], bool]) -> None:
        """What a thread does. The first failure of any ends the run."""
        changed, busy = self._steps.changed, self._steps.busy
        try:
            while not self._over.is_set():
                busy[name] = self._clock.monotonic()
                did_something = step()
                busy.pop(name, None)
                if not did_something:
                    with changed:
                        changed.wait(self._options.tick)
        except BaseException as error:  # noqa: BLE001 - it is raised by the main thread
            with changed:
                self._failure = self._failure or error
                changed.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> None:
        while True:
            with self._steps.changed:
                if condition():
                    return
                self._steps.changed.wait(min(self._options.tick, HEARD_WITHIN_S))

    @property
    def _is_over(self) -> bool:
        return self._failure is not None or self._steps.engine.is_finished

    def _measure(self) -> None:
        """Ask the queue once more, for what is left of the time: the summary can do without."""

        def ask() -> None:
            with suppress(VaultEtlError):
                self._steps.measure()

        asking = threading.Thread(target=ask, name="measure", daemon=True)
        asking.start()
        asking.join(max(HEARD_WITHIN_S, self._ends - self._clock.monotonic()))

    def _settle(self, stop: Stop) -> bool:
        """Commit, delete, give back. Whether all of it was done in time."""
        engine, clock = self._steps.engine, self._clock
        self._ends = ends = clock.monotonic() + self._options.stop_within
        with self._steps.changed:
            engine.stop(give_back=self._failure is not None)
            self._steps.changed.notify_all()
        margin = ends - min(GIVE_BACK_MARGIN_S, self._options.stop_within / 2)
        self._wait(lambda: engine.is_finished or stop.is_urgent() or clock.monotonic() >= margin)
        if engine.is_finished:
            return True
        if stop.is_urgent():
            ends = clock.monotonic() + URGENT_S
        with self._steps.changed:
            given_up = engine.abandon()
            self._steps.changed.notify_all()
        self._wait(lambda: engine.is_settled or clock.monotonic() >= ends)
        return engine.is_finished and not given_up
