"""The messages that an ingest holds, each from its receive until it is deleted or given back."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vault_etl.ingest.engine.limits import Limits
from vault_etl.records.messages import Message

MAX_HOLD: Final = 43_200.0
"""Seconds, SQS's own: 12 h after its receive a message is seen again, whatever was asked for."""


class Stage(Enum):
    """Where a held message is on its way."""

    BUFFERED = auto()
    WRITING = auto()
    COMMITTED = auto()
    DELETING = auto()
    RETURNING = auto()


@dataclass(slots=True, eq=False)
class Held:
    """A message in our hands. Times are monotonic seconds.

    The message itself goes with its commit: only the handle is needed from then on.
    """

    handle: str
    message: Message | None
    bytes: int
    received_at: float
    visible_until: float
    """When the queue shows it to others, as far as we know."""
    stage: Stage = Stage.BUFFERED
    extending: bool = False
    delete_tries: int = 0

    def is_stale(self, now: float) -> bool:
        """Whether others may have it by now: its handle is good for nothing any more."""
        return now >= self.visible_until

    def must_go(self, now: float, visibility: float) -> bool:
        """Whether the 12 hours leave no room for one more useful extension."""
        return now >= self.received_at + MAX_HOLD - visibility / 2


class HeldMessages:
    """All that is held, the one that is seen again first in front."""

    def __init__(self, visibility: float) -> None:
        self._visibility = visibility
        self._by_handle: OrderedDict[str, Held] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._by_handle)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._by_handle.values())

    def add(self, message: Message, now: float) -> Held | None:
        """Hold a message whose receive was answered at `now`. None if its handle is held already."""
        older = self._by_handle.get(message.receipt_handle)
        if older is not None:
            older.visible_until = now + self._visibility
            return None
        size = len(message.body.expose())
        held = Held(message.receipt_handle, message, size, now, now + self._visibility)
        self._by_handle[held.handle] = held
        self.bytes += size
        return held

    def find(self, handle: str) -> Held | None:
        """The message of a handle, if it is held still."""
        return self._by_handle.get(handle)

    def let_go(self, held: Held, stage: Stage) -> None:
        """Keep the handle for what is left to do, and let the message itself go."""
        held.stage = stage
        held.message = None
        self.bytes -= held.bytes
        held.bytes = 0

    def drop(self, held: Held) -> None:
        """Hold it no longer."""
        self.bytes -= held.bytes
        del self._by_handle[held.handle]

    def due(self, now: float, limit: int) -> dict[str, int]:
        """The next messages to extend, and by how many seconds: when half of their time is over."""
        seconds: dict[str, int] = {}
        for held in self._by_handle.values():
            if now < held.visible_until - self._visibility / 2 or len(seconds) == limit:
                break
            ends = held.stage in {Stage.DELETING, Stage.RETURNING} or held.is_stale(now)
            if ends or held.extending or held.must_go(now, self._visibility):
                continue
            left = held.received_at + MAX_HOLD - now
            wanted = max(1, int(min(self._visibility, left)))
            if left < self._visibility and now + wanted < held.visible_until + 1:
                continue  # its last one, cut to whole seconds, would be due again at once
            held.extending = True
            seconds[held.handle] = wanted
        return seconds

    def extended(self, seconds_by_handle: dict[str, int], now: float) -> None:
        """These extensions, asked for at `now`, were made."""
        for handle, seconds in seconds_by_handle.items():
            held = self.find(handle)
            if held is not None:
                held.extending = False
                held.visible_until = now + seconds
                self._by_handle.move_to_end(handle)

    def not_extended(self, handles: list[str]) -> None:
        """These are due still."""
        for handle in handles:
            held = self.find(handle)
            if held is not None:
                held.extending = False


class IngestBuffer:
    """First come, first written. Every `now` is in monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[Held] = deque()
        self._bytes = 0
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, held: Held, now: float) -> None:
        """A message has come; the linger of a batch runs from its first one."""
        if not self._waiting:
            self._since = now
        self._keep(held)
        self._waiting.append(held)

    def put_back(self, held: Held) -> None:
        """A message that is to be tried again, before all others."""
        self._keep(held)
        self._waiting.appendleft(held)

    def take(self) -> Held:
        """The next one. Raises IndexError if there is none."""
        held = self._waiting.popleft()
        self._bytes -= held.bytes
        return held

    def take_batch(self, now: float) -> list[Held]:
        """As many as a batch may have, and one at least if there is one. What stays lingers anew."""
        batch: list[Held] = []
        size = 0
        while self._waiting and len(batch) < self._limits.batch_size:
            size += self._waiting[0].bytes
            if batch and size > self._limits.batch_bytes:
                break
            batch.append(self.take())
        self._since = now
        return batch

    def is_due(self, now: float) -> bool:
        """Whether a batch is full, or has lingered for long enough."""
        return (
            len(self._waiting) >= self._limits.batch_size
            or self._bytes >= self._limits.batch_bytes
            or now >= self._since + self._limits.linger
        )

    def _keep(self, held: Held) -> None:
        held.stage = Stage.BUFFERED
        self._bytes += held.bytes


_HELD: Final = 2.5
"""Per heartbeat and second of visibility, over the seconds of one extension of ten: half of the
10 · V/2 that can be extended in time (docs/design.md, Ingest)."""

UNTIL_KNOWN: Final = 0.1
"""Seconds that one extension is taken to take before one was made."""

REMEMBERED: Final = 100
REMEMBERED_SECONDS: Final = 300.0
"""For so long an extension counts. For ever, and one slow one would be the end: what is held by few
is written before it is due, so no faster one would ever be seen."""


class Heartbeat:
    """The bound of docs/design.md, Ingest. Every `now` is in monotonic seconds."""

    def __init__(self, heartbeats: int, visibility: float) -> None:
        self._held = _HELD * heartbeats * visibility
        self._times: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.bound = int(self._held / UNTIL_KNOWN)
        """How many messages may be held."""

    def took(self, seconds: float, now: float) -> None:
        """One extension of ten messages, ended `now`, took so long."""
        self._times.append((now, max(seconds, 0.001)))
        self._reckon()

    def forget(self, now: float) -> None:
        """Let go of what is too old to count."""
        if self._times and self._times[0][0] <= now - REMEMBERED_SECONDS:
            while self._times and self._times[0][0] <= now - REMEMBERED_SECONDS:
                self._times.popleft()
            self._reckon()

    def _reckon(self) -> None:
        seconds = sorted(seconds for _, seconds in self._times) or [UNTIL_KNOWN]
        self.bound = int(self._held / seconds[int(0.99 * len(seconds))])
