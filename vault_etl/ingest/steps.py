"""The steps of an ingest: each asks the engine what is to be done, does it, and tells how it went.

A step returns whether there was anything to do. Threads repeat them (`ingest.py`); tests take them
one by one. Only the engine's bookkeeping is under the lock, never a call of the outside.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from vault_etl.base.errors import DeniedError, IncompleteError, UnavailableError, VaultEtlError
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.platform.clock import Clock
from vault_etl.platform.waiting import Outage, Patience
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import BatchWriter, Written

GIVE_BACK_SECONDS: Final = (5, 30)
"""When a message that is given back is seen again: at random, so that not all come at once."""

DEPTH_SECONDS: Final = 15.0
"""How often the queue is asked how deep it is."""

PROBE_SECONDS: Final = 5.0
"""After so long without a batch, an ingest that follows asks the database whether it is there."""

STUCK_SECONDS: Final = 300.0
"""What no step takes: every call in it is bounded, and all of a batch together are far below."""

LOOK_SECONDS: Final = 0.5
"""How often the observer is told."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When an ingest ends by itself."""

    follow: bool = False
    """Never: it goes on when the queue is empty."""
    wait_in_flight: bool = False
    """Not before what others hold is settled too."""
    max_messages: int | None = None


class IngestSteps:
    """One ingest. Every step may be taken by any thread, and by several at once."""

    def __init__(
        self,
        engine: IngestEngine,
        queue: Queue,
        gauge: QueueGauge,
        writer: BatchWriter,
        clock: Clock,
        observer: IngestObserver,
        patience: Patience,
        bounds: Bounds,
    ) -> None:
        self.engine = engine
        self.changed = threading.Condition()
        """Guards the engine; notified when a step has changed it."""
        self.extra_fields = ExtraFields()
        """Of what is settled. Under the same lock."""
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
        self._look_at = 0.0
        self._probe_at = clock.monotonic() + PROBE_SECONDS
        self.busy: dict[str, float] = {}
        """Since when each thread is in its step; set by these themselves."""
        self._told = asdict(engine.tally)

    def receive(self, receiver: int, wait: int) -> bool:
        """One long poll of `wait` seconds. Raises what the queue raises, when patience is over."""
        with self.changed:
            away = self._clock.monotonic() < self._queue_outage.retry_at
            # One looks for all while nothing comes: short polls, which end soon, cost no more so.
            rests = receiver > 0 and self._bounds.follow and self.engine.is_quiet
            granted = 0 if away or rests else self.engine.grant()
        if not granted:
            return False
        messages: Sequence[Message] = ()
        try:
            messages = self._queue.receive(wait, granted)
        except BaseException as error:
            with self.changed:
                self.engine.receive_failed(receiver, granted)
                self.changed.notify_all()
                if not isinstance(error, UnavailableError | DeniedError):
                    raise
                self._queue_outage.failed(error, self._clock.monotonic())
            return False
        with self.changed:
            self._queue_outage.ended()
            self.engine.received(receiver, granted, messages, self._clock.monotonic())
            self.changed.notify_all()
        return bool(messages)

    def write(self) -> bool:
        """One batch, or a look whether the database is there while none comes.

        Raises what cannot be mended by waiting, or when patience is over.
        """
        with self.changed:
            batch = self.engine.next_batch(self._clock.monotonic())
            messages = [held.message for held in batch if held.message is not None]
        if not batch:
            self._probe()
            return False
        size = sum(held.bytes for held in batch)
        began = self._clock.monotonic()
        written = Written([Outcome.RETRY] * len(batch), {}, {}, None)
        delay = 0.0
        try:
            written = self._writer.write(messages)
        finally:
            now = self._clock.monotonic()
            self._probe_at = now + PROBE_SECONDS
            with self.changed:
                try:
                    if written.cause:
                        delay = self._write_outage.failed(written.cause, now)
                    else:
                        self._write_outage.ended()
                finally:
                    self.extra_fields.merge(written.extra_fields)
                    self.engine.written(batch, written.outcomes, now, delay)
                    self.changed.notify_all()
        self._observer.batch(self._report(messages, written, size, now - began))
        return True

    def _probe(self) -> None:
        """Ask whether the database is there, if no batch has lately; while it is away, as seldom as batches do."""
        now = self._clock.monotonic()
        with self.changed:
            tries_a_batch = self.engine.away and self.engine.held
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
        with self.changed:
            if failure is None:
                self._write_outage.ended()
            else:
                self._write_outage.failed(failure, now)

    def delete(self) -> bool:
        """Up to ten messages that are committed. Raises what the queue raises, when patience is over."""
        with self.changed:
            handles = self.engine.next_deletes()
        if not handles:
            return False
        try:
            failed = self._queue.delete(handles)
        except BaseException as error:
            with self.changed:
                now = self._clock.monotonic()
                self.engine.delete_failed(handles, now)
                self.changed.notify_all()
                if not isinstance(error, UnavailableError | DeniedError):
                    raise
                self._delete_outage.failed(error, now)
            return False
        with self.changed:
            self._delete_outage.ended()
            self.engine.deleted(handles, failed)
            self.changed.notify_all()
        return True

    def hold(self) -> bool:
        """Extend up to ten messages whose time runs out."""
        began = self._clock.monotonic()
        with self.changed:
            seconds = self.engine.next_extensions(began)
        if not seconds:
            return False
        try:
            stale = self._queue.extend(seconds)
        except VaultEtlError:
            with self.changed:
                self.engine.extend_failed(list(seconds))
            return False
        with self.changed:
            now = self._clock.monotonic()
            self.engine.extension_took(now - began, now)
            self.engine.extended(seconds, stale, began)
        return True

    def give_back(self) -> bool:
        """Up to ten messages, to be seen again soon. A queue that cannot be told shows them by itself."""
        with self.changed:
            handles = self.engine.next_returns()
        if not handles:
            return False
        try:
            self._queue.extend({handle: random.randint(*GIVE_BACK_SECONDS) for handle in handles})  # noqa: S311 - no secret
        except VaultEtlError:
            return False
        finally:
            with self.changed:
                self.engine.returned(handles)
                self.changed.notify_all()
        return True

    def look(self) -> bool:
        """Sort out what cannot be held, see whether the queue is empty, and tell the observer."""
        now = self._clock.monotonic()
        with self.changed:
            may_be_empty = self.engine.looks_empty and not self._bounds.follow
            if not may_be_empty and now < self._look_at:
                return False
            self.engine.sort_out(now)
        self._look_at = now + LOOK_SECONDS
        if may_be_empty or now >= self._depth_at:
            self.measure(may_be_empty=may_be_empty)
        self.tell()
        return False

    def tell(self) -> None:
        """Tell the observer what has changed."""
        with self.changed:
            tally = asdict(self.engine.tally)
            told, self._told = self._told, tally
            state = self._state()
        for movement in Movement:
            if tally[movement] > told[movement]:
                self._observer.moved(movement, tally[movement] - told[movement])
        self._observer.state(state)

    def measure(self, *, may_be_empty: bool = False) -> None:
        """Ask the queue how deep it is; a drain whose receivers found nothing may end by its answer.

        Raises what the queue raises, when patience is over.
        """
        self._depth_at = self._clock.monotonic() + DEPTH_SECONDS
        try:
            self.depth = depth = self._gauge.depth()
        except (UnavailableError, DeniedError) as error:
            self._depth_outage.failed(error, self._clock.monotonic())
            return
        self._depth_outage.ended()
        others = depth.in_flight if self._bounds.wait_in_flight else 0
        with self.changed:
            if not may_be_empty or not self.engine.looks_empty:
                return
            if depth.visible or depth.delayed or others:
                self.engine.is_not_empty()
            else:
                self.engine.finish()
            self.changed.notify_all()

    def _state(self) -> IngestState:
        outages = (self._write_outage, self._queue_outage, self._delete_outage)
        error = next((outage.error for outage in outages if outage.error), None)
        now = self._clock.monotonic()
        # Standard input may say nothing for longer, and is no dependency.
        busy = list(self.busy.items()) if self._bounds.follow else []
        stuck = (name for name, began in busy if now - began >= STUCK_SECONDS)
        return IngestState(
            ready=error is None and not self.engine.stopping,
            away=_named(error) if error else None,
            stuck=next(stuck, None),
            held=self.engine.held,
            held_bytes=_whole_kib(self.engine.held_bytes),
            depth=self.depth,
            seals_left=self._writer.seals_left,
        )

    def _report(
        self, messages: Sequence[Message], written: Written, size: int, seconds: float
    ) -> BatchReport:
        now_ms = self._clock.now().timestamp() * 1000
        ages = [
            0.0 if message.line else max(0.0, now_ms - message.sent_ms) / 1000
            for message in messages
        ]
        return BatchReport(
            outcomes=Counter(written.outcomes),
            reasons=written.reasons,
            extra_fields=written.extra_fields,
            bytes=_whole_kib(size),
            seconds=seconds,
            newest_age=min(ages),
            oldest_age=max(ages),
            max_receive_count=max(message.receive_count for message in messages),
            cause=written.cause.word if written.cause else None,
        )


def _named(error: VaultEtlError) -> str:
    """The service, and what is the matter with it."""
    return f"{error.service}: {error.word}" if error.service else error.word


def _whole_kib(size: int) -> int:
    """Bytes, rounded up: of one message alone, the exact size tells the length of what is personal in it."""
    return -(-size // 1024) * 1024
