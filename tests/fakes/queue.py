"""A standard SQS queue in memory: visibility time-outs, receipts that go stale, delays."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.fakes.clock import FakeClock
from vault_etl.core.messages import Message
from vault_etl.core.pii import Pii
from vault_etl.ports.queue import MAX_CALL, QueueDepth

MAX_WAIT = 20
MAX_VISIBILITY = 43_200


@dataclass(slots=True)
class _Held:
    message_id: str
    body: bytes
    sent_ms: int
    visible_at: float
    handle: str | None = None
    receives: int = 0


class FakeQueue:
    """`Queue` and `QueueGauge` in memory. A message stays until its latest receipt deletes it.

    `refuse_deletes` is how many of the next deletions fail. A long poll that finds nothing lets
    the clock run. `before_delete` is told the id and the time of sending of each message that goes.
    """

    def __init__(self, clock: FakeClock, visibility: float = 60) -> None:
        self._clock = clock
        self._visibility = visibility
        self._messages: dict[str, _Held] = {}
        self._numbers = itertools.count()
        self.refuse_deletes = 0
        self.before_delete: Callable[[str, int], None] | None = None
        self.deleted: list[str] = []

    def send(self, body: bytes | str, *, delay: float = 0, message_id: str | None = None) -> str:
        """Put a body on the queue; its message id. An id that is there already is sent twice."""
        message_id = message_id or str(uuid.UUID(int=next(self._numbers) + 1, version=4))
        self._messages[f"{message_id}/{next(self._numbers)}"] = _Held(
            message_id,
            body.encode() if isinstance(body, str) else body,
            int(self._clock.now().timestamp() * 1000),
            self._clock.monotonic() + delay,
        )
        return message_id

    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        """See `Queue.receive`."""
        assert 1 <= limit <= MAX_CALL
        assert 0 <= wait_seconds <= MAX_WAIT
        waited = 0
        while not self._visible() and waited < wait_seconds:
            self._clock.advance(1)
            waited += 1
        return [self._hand_out(held) for held in self._visible()[:limit]]

    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        """See `Queue.delete`."""
        assert 1 <= len(receipt_handles) <= MAX_CALL
        return [handle for handle in receipt_handles if not self._delete(handle)]

    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """See `Queue.extend`."""
        assert 1 <= len(seconds_by_handle) <= MAX_CALL
        stale = []
        for handle, seconds in seconds_by_handle.items():
            assert 0 <= seconds <= MAX_VISIBILITY
            held = self._by_handle(handle)
            if held is None:
                stale.append(handle)
            else:
                held.visible_at = self._clock.monotonic() + seconds
        return stale

    def depth(self) -> QueueDepth:
        """See `QueueGauge.depth`."""
        hidden = [held for held in self._messages.values() if held not in self._visible()]
        in_flight = sum(held.receives > 0 for held in hidden)
        return QueueDepth(len(self._visible()), in_flight, len(hidden) - in_flight)

    @property
    def message_ids(self) -> list[str]:
        """Of every message that is still there, in whatever state."""
        return [held.message_id for held in self._messages.values()]

    def hidden_for(self) -> list[float]:
        """How many more seconds each message stays unseen."""
        now = self._clock.monotonic()
        return [max(0.0, held.visible_at - now) for held in self._messages.values()]

    def _visible(self) -> list[_Held]:
        now = self._clock.monotonic()
        return [held for held in self._messages.values() if held.visible_at <= now]

    def _hand_out(self, held: _Held) -> Message:
        held.receives += 1
        held.handle = f"receipt-{next(self._numbers)}"
        held.visible_at = self._clock.monotonic() + self._visibility
        return Message(
            held.message_id, held.handle, Pii(held.body), held.sent_ms, receive_count=held.receives
        )

    def _delete(self, handle: str) -> bool:
        if self.refuse_deletes:
            self.refuse_deletes -= 1
            return False
        for name, held in self._messages.items():
            if held.handle == handle:
                if self.before_delete:
                    self.before_delete(held.message_id, held.sent_ms)
                del self._messages[name]
                self.deleted.append(held.message_id)
                return True
        return False

    def _by_handle(self, handle: str) -> _Held | None:
        """The message of a receipt that still hides it."""
        now = self._clock.monotonic()
        found = (held for held in self._messages.values() if held.handle == handle)
        return next((held for held in found if held.visible_at > now), None)
