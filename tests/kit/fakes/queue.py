"""A standard SQS queue in memory: visibility time-outs, receipts that go stale, delays, redrive."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from vault_etl.base.pii import Pii
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.platform.clock import Clock
from vault_etl.records.messages import Message

MAX_WAIT = 20
MAX_VISIBILITY = 43_200
"""Seconds from a receive, however often it is extended."""


class PassingClock(Clock, Protocol):
    """A clock that a long poll can wait on: `FakeClock` or `RunningClock`."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""


@dataclass(slots=True, eq=False)
class Held:
    """One message, in whatever state."""

    number: int
    message_id: str
    body: bytes
    sent_ms: int
    visible_at: float
    received_at: float = 0
    handle: str | None = None
    """Of the latest receive."""
    receives: int = 0


@dataclass(frozen=True, slots=True)
class Redrive:
    """The queue to which a message moves that was received `max_receives` times and is due again."""

    max_receives: int
    dead_letters: FakeQueue


class FakeQueue(Queue, QueueGauge):
    """`Queue` and `QueueGauge` in memory. A message stays until its latest receipt deletes it.

    An older receipt deletes nothing and is not reported, as AWS documents ("the request will
    succeed, but the message might not be deleted"). Any thread may call.

    `refuse_deletes` is how many of the next deletions fail. `before_delete` is told the id and the
    time of sending of each message that a caller wants gone. A long poll that finds nothing lets
    the clock run, `tick` seconds at a time.
    """

    def __init__(
        self,
        clock: PassingClock,
        visibility: float = 60,
        *,
        redrive: Redrive | None = None,
        tick: float = 1,
    ) -> None:
        self._clock = clock
        self._visibility = visibility
        self._redrive = redrive
        self._tick = tick
        self._lock = threading.RLock()
        self._messages: dict[int, Held] = {}
        self._issued: dict[str, Held] = {}
        self._numbers = itertools.count()
        self.refuse_deletes = 0
        self.before_delete: Callable[[str, int], None] | None = None
        self.deleted: list[str] = []

    def send(self, body: bytes | str, *, delay: float = 0, message_id: str | None = None) -> str:
        """Put a body on the queue; its message id. An id that is there already is sent twice."""
        with self._lock:
            message_id = message_id or str(uuid.UUID(int=next(self._numbers) + 1, version=4))
            held = Held(
                next(self._numbers),
                message_id,
                body.encode() if isinstance(body, str) else body,
                int(self._clock.now().timestamp() * 1000),
                self._clock.monotonic() + delay,
            )
            self._messages[held.number] = held
        return message_id

    @override
    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        assert 1 <= limit <= MAX_CALL
        assert 0 <= wait_seconds <= MAX_WAIT
        waited = 0.0
        while not (received := self._take(limit)) and waited < wait_seconds:
            self._clock.advance(self._tick)
            waited += self._tick
        return received

    @override
    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        assert 1 <= len(receipt_handles) <= MAX_CALL
        with self._lock:
            return [handle for handle in receipt_handles if not self._delete(handle)]

    @override
    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """Refuse a time beyond `MAX_VISIBILITY`, as a stale handle is refused."""
        assert 1 <= len(seconds_by_handle) <= MAX_CALL
        assert all(0 <= seconds <= MAX_VISIBILITY for seconds in seconds_by_handle.values())
        with self._lock:
            entries = seconds_by_handle.items()
            return [handle for handle, seconds in entries if not self._extend(handle, seconds)]

    @override
    def depth(self) -> QueueDepth:
        with self._lock:
            hidden = [held for held in self._messages.values() if self._hidden(held)]
            in_flight = sum(held.receives > 0 for held in hidden)
            visible = len(self._messages) - len(hidden)
            return QueueDepth(visible, in_flight, len(hidden) - in_flight)

    @override
    def visibility_timeout(self) -> int:
        return int(self._visibility)

    @property
    def message_ids(self) -> list[str]:
        """The id of every message that is still there, in whatever state."""
        with self._lock:
            return [held.message_id for held in self._messages.values()]

    def hidden_for(self) -> list[float]:
        """Return how many more seconds each message stays hidden."""
        with self._lock:
            now = self._clock.monotonic()
            return [max(0.0, held.visible_at - now) for held in self._messages.values()]

    def _hidden(self, held: Held) -> bool:
        return held.visible_at > self._clock.monotonic()

    def _take(self, limit: int) -> list[Message]:
        with self._lock:
            return [self._hand_out(held) for held in self._due()[:limit]]

    def _due(self) -> list[Held]:
        """Return the messages that a receive may bring, in order."""
        visible = [held for held in self._messages.values() if not self._hidden(held)]
        if self._redrive is None:
            return visible
        spent = [held for held in visible if held.receives >= self._redrive.max_receives]
        for held in spent:
            del self._messages[held.number]
            self._redrive.dead_letters._take_over(held)
        return [held for held in visible if held not in spent]

    def _take_over(self, held: Held) -> None:
        """Take a message of another queue, its id and its time of sending as they are."""
        with self._lock:
            number = next(self._numbers)
            now = self._clock.monotonic()
            self._messages[number] = Held(number, held.message_id, held.body, held.sent_ms, now)

    def _hand_out(self, held: Held) -> Message:
        held.receives += 1
        held.handle = f"receipt-{next(self._numbers)}"
        held.received_at = self._clock.monotonic()
        held.visible_at = held.received_at + self._visibility
        self._issued[held.handle] = held
        return Message(
            held.message_id, held.handle, Pii(held.body), held.sent_ms, receive_count=held.receives
        )

    def _delete(self, handle: str) -> bool:
        """False: it could not be deleted."""
        if self.refuse_deletes:
            self.refuse_deletes -= 1
            return False
        held = self._issued.get(handle)
        if held is None:
            return False
        if self.before_delete:
            self.before_delete(held.message_id, held.sent_ms)
        if held.handle == handle and held.number in self._messages:
            self._remove(held)
        return True

    def _remove(self, held: Held) -> None:
        del self._messages[held.number]
        self.deleted.append(held.message_id)

    def _extend(self, handle: str, seconds: int) -> bool:
        """False: the receipt no longer hides its message, or may not for so long."""
        held = self._issued.get(handle)
        if held is None or held.handle != handle or held.number not in self._messages:
            return False
        until = self._clock.monotonic() + seconds
        if not self._hidden(held) or until > held.received_at + MAX_VISIBILITY:
            return False
        held.visible_at = until
        return True
