"""The steps of an ingest: each asks the engine for work, does it, and reports the result.

A step returns True if it had work. Threads repeat the steps (`run.py`); tests take them one by one.
The lock covers only the engine's bookkeeping, never a call to the queue or the database.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Final

from vault_etl.base.errors import DeniedError, IncompleteError, UnavailableError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement, whole_kib
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.ingest.threads import EngineLock
from vault_etl.ingest.writer import Writer
from vault_etl.platform.clock import Clock
from vault_etl.platform.waiting import Outage, Patience
from vault_etl.records.messages import Outcome
from vault_etl.records.written import Written

GIVE_BACK_SECONDS: Final = (5, 30)
"""Range of the delay until a message that is given back is visible: random, so that they spread."""

DEPTH_SECONDS: Final = 15.0
"""Interval at which the queue's counts are read."""

PROBE_SECONDS: Final = 5.0
"""Time without a batch after which an ingest that follows checks that the database answers."""

STUCK_SECONDS: Final = 300.0
"""Duration that no step reaches: each call is bounded, and all calls of a batch are far below it."""

REVIEW_SECONDS: Final = 0.5
"""Interval at which the observer is told the state."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The conditions under which an ingest ends by itself."""

    follow: bool = False
    """Continue when the queue is empty."""
    wait_in_flight: bool = False
    """Wait until the messages that other receivers hold are settled too."""
    max_messages: int | None = None


class IngestSteps:
    """The steps of one ingest. Any thread may take any step, and several threads the same one."""

    def __init__(
        self,
        engine: IngestEngine,
        queue: Queue,
        gauge: QueueGauge,
        writer: Writer,
        clock: Clock,
        observer: IngestObserver,
        patience: Patience,
        bounds: Bounds,
    ) -> None:
        self.engine = engine
        self.lock = EngineLock(engine, clock)
        self.extra_fields = ExtraFields()
        """Unknown fields of the committed messages. Under the same lock."""
        self.depth: QueueDepth | None = None
        self._queue = queue
        self._gauge = gauge
        self._writer = writer
        self._clock = clock
        self._observer = observer
        self._bounds = bounds
        self._queue_outage = Outage(patience)
        self._write_outage = Outage(patience)
        self._delete_outage = Outage(patience)
        self._depth_outage = Outage(patience)
        self._depth_at = 0.0
        self._review_at = 0.0
        self._probe_at = clock.monotonic() + PROBE_SECONDS
        self.busy: dict[str, float] = {}
        """The start of the step that each thread is in; each thread sets its own."""
        self._told = asdict(engine.tally)

    def receive(self, receiver: int, wait: int) -> bool:
        """Take one long poll of `wait` seconds. Raises the queue's error when patience is over."""
        with self.lock:
            outage = self._queue_outage
            is_tried = outage.error is not None and self.engine.is_receiving  # by one at a time
            waits = is_tried or self._clock.monotonic() < outage.retry_at
            rests = self.engine.polls.lets_rest(receiver, follow=self._bounds.follow)
            granted = 0 if waits or rests else self.engine.grant()
        if not granted:
            return False
        began = self._clock.monotonic()
        try:
            messages = self._queue.receive(wait, granted)
        except BaseException as error:
            with self.lock:
                self.engine.receive_failed(receiver, granted)
                self.lock.changed()
                if not isinstance(error, UnavailableError | DeniedError):
                    raise
                outage.failed(error, self._clock.monotonic())
            return False
        with self.lock:
            now = self._clock.monotonic()
            outage.ended()
            self.engine.received(receiver, granted, messages, now)
            self.engine.crews.receivers.ended(len(messages), now - began)
            self.lock.changed()
        return bool(messages)

    def write(self) -> bool:
        """Write one batch; if none is due, check that the database answers.

        Raises errors that waiting cannot fix, and any error when patience is over.
        """
        with self.lock:
            batch = self.engine.next_batch(self._clock.monotonic())
            messages = [held.message for held in batch if held.message is not None]
        if not batch:
            self._probe()
            return False
        size = sum(held.bytes for held in batch)
        began = self._clock.monotonic()
        written = Written([Outcome.RETRY] * len(batch), {}, {}, {}, None)
        delay = 0.0
        try:
            written = self._writer.write(messages)
        finally:
            now = self._clock.monotonic()
            self._probe_at = now + PROBE_SECONDS
            with self.lock:
                try:
                    if written.cause:
                        delay = self._write_outage.failed(written.cause, now)
                    else:
                        self._write_outage.ended()
                finally:
                    self.extra_fields.merge(written.extra_fields)
                    self.engine.written(batch, written.outcomes, now, delay)
                    self.lock.changed()
        now_ms = self._clock.now().timestamp() * 1000
        self._observer.batch(BatchReport.of(messages, written, size, now - began, now_ms))
        return True

    def _probe(self) -> None:
        """Check that the database answers, if no batch did lately; during an outage, at its retry times."""
        now = self._clock.monotonic()
        with self.lock:
            tries_a_batch = self.engine.writes_fail and self.engine.held
            if tries_a_batch or self.engine.stopping or not self._bounds.follow:
                return
            if now < max(self._probe_at, self._write_outage.retry_at):
                return
        failure: VaultEtlError | None = None
        try:
            self._writer.probe()
        except (UnavailableError, IncompleteError, DeniedError) as error:
            failure = error
        now = self._clock.monotonic()
        self._probe_at = now + PROBE_SECONDS
        with self.lock:
            if failure is None:
                self._write_outage.ended()
            else:
                self._write_outage.failed(failure, now)

    def delete(self) -> bool:
        """Delete up to ten committed messages. Raises the queue's error when patience is over."""
        with self.lock:
            handles = self.engine.next_deletes(self._clock.monotonic())
        if not handles:
            return False
        began = self._clock.monotonic()
        try:
            failed = self._queue.delete(handles)
        except BaseException as error:  # noqa: BLE001 - raised again, unless waiting may fix it
            with self.lock:
                now = self._clock.monotonic()
                try:
                    if not isinstance(error, UnavailableError | DeniedError):
                        raise
                    self._delete_outage.failed(error, now)
                finally:
                    self.engine.delete_failed(handles, now, self._delete_outage.retry_at)
                    self.lock.changed()
            return False
        with self.lock:
            now = self._clock.monotonic()
            self._delete_outage.ended()
            self.engine.deleted(handles, failed, now)
            self.engine.crews.deleters.ended(len(handles), now - began)
            self.lock.changed()
        return True

    def hold(self) -> bool:
        """Extend the visibility of up to ten messages that are due."""
        began = self._clock.monotonic()
        with self.lock:
            seconds = self.engine.next_extensions(began)
        if not seconds:
            return False
        try:
            stale = self._queue.extend(seconds)
        except VaultEtlError:
            with self.lock:
                self.engine.extend_failed(list(seconds))
            return False
        with self.lock:
            now = self._clock.monotonic()
            self.engine.extension_took(now - began, now)
            self.engine.extended(seconds, stale, began)
        return True

    def give_back(self) -> bool:
        """Give back up to ten messages. If the call fails, the queue shows them later by itself."""
        with self.lock:
            handles = self.engine.next_to_give_back()
        if not handles:
            return False
        try:
            self._queue.extend({handle: random.randint(*GIVE_BACK_SECONDS) for handle in handles})  # noqa: S311 - no secret
        except VaultEtlError:
            return False
        finally:
            with self.lock:
                self.engine.given_back(handles)
                self.lock.changed()
        return True

    def review(self) -> bool:
        """Give back what cannot be held, check whether the queue is empty, and tell the observer."""
        now = self._clock.monotonic()
        with self.lock:
            may_be_empty = self.engine.looks_empty and not self._bounds.follow
            if not may_be_empty and now < self._review_at:
                return False
            self.engine.sort_out(now)
        self._review_at = now + REVIEW_SECONDS
        if now >= self._depth_outage.retry_at and (may_be_empty or now >= self._depth_at):
            self.measure(may_be_empty=may_be_empty)
        self.tell()
        return False

    def tell(self) -> None:
        """Tell the observer the movements since the last call, and the state."""
        with self.lock:
            tally = asdict(self.engine.tally)
            told, self._told = self._told, tally
            state = self._state()
        for movement in Movement:
            if tally[movement] > told[movement]:
                self._observer.moved(movement, tally[movement] - told[movement])
        self._observer.state(state)

    def measure(self, *, may_be_empty: bool = False) -> None:
        """Read the queue's counts. They may end a drain whose receivers found nothing.

        Raises the queue's error when patience is over.
        """
        self._depth_at = self._clock.monotonic() + DEPTH_SECONDS
        try:
            self.depth = depth = self._gauge.depth()
        except (UnavailableError, DeniedError) as error:
            self._depth_outage.failed(error, self._clock.monotonic())
            return
        self._depth_outage.ended()
        others = depth.in_flight if self._bounds.wait_in_flight else 0
        with self.lock:
            if not may_be_empty or not self.engine.looks_empty:
                return
            if depth.visible or depth.delayed or others:
                self.engine.polls.queue_reported_more()
            else:
                self.engine.finish()
            self.lock.changed()

    def _state(self) -> IngestState:
        error = self._write_outage.error or self._queue_outage.error or self._delete_outage.error
        long_ago = self._clock.monotonic() - STUCK_SECONDS
        # Standard input may pause for longer, and is not a dependency.
        busy = list(self.busy.items()) if self._bounds.follow else []
        return IngestState(
            ready=error is None and not self.engine.stopping,
            unavailable=error.named if error else None,
            stuck=next((name for name, began in busy if began <= long_ago), None),
            receivers=self.engine.crews.receivers.size,
            deleters=self.engine.crews.deleters.size,
            held_back=self.engine.crews.held_back,
            held=self.engine.held,
            held_bytes=whole_kib(self.engine.held_bytes),
            depth=self.depth,
            seals_left=self._writer.seals_left,
        )
