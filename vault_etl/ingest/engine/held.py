"""The messages that an ingest holds, each from its receive until it is deleted or given back.

`IngestBuffer` orders those that wait for a batch. `Heartbeat` bounds how many may be held.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vault_etl.ingest.engine.limits import Limits
from vault_etl.records.messages import Message

MAX_HOLD: Final = 43_200.0
"""Seconds, SQS's own limit: 12 h after its receive a message is visible again, despite extensions."""


class Stage(Enum):
    """The next step that a held message waits for, or is in."""

    BUFFERED = auto()
    WRITING = auto()
    COMMITTED = auto()
    DELETING = auto()
    GIVING_BACK = auto()


@dataclass(slots=True, eq=False)
class Held:
    """A held message. Times are in monotonic seconds.

    `message` is None after the commit: only the handle is needed from then on.
    """

    handle: str
    message: Message | None
    bytes: int
    received_at: float
    visible_until: float
    """The time at which the queue shows the message to other receivers, as far as we know."""
    stage: Stage = Stage.BUFFERED
    extending: bool = False
    refusals: int = 0
    """Refused tries of its deletion."""

    def is_stale(self, now: float) -> bool:
        """Tell whether other receivers may have the message by now: its handle is of no use then."""
        return now >= self.visible_until

    def must_go(self, now: float, visibility: float) -> bool:
        """Tell whether `MAX_HOLD` leaves no room for one more useful extension."""
        return _last_useful_extension(now, visibility) >= self.received_at


def _last_useful_extension(now: float, visibility: float) -> float:
    """Return when the messages were received that have no useful extension left from `now` on."""
    return now - MAX_HOLD + visibility / 2


class HeldMessages:
    """All held messages, ordered by the time at which they become visible again."""

    def __init__(self, visibility: float) -> None:
        self._visibility = visibility
        self._by_handle: OrderedDict[str, Held] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._by_handle)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._by_handle.values())

    def add(self, message: Message, now: float) -> Held | None:
        """Hold a message that was received at `now`. Return None if its handle is held already."""
        older = self._by_handle.get(message.receipt_handle)
        if older is not None:
            older.visible_until = now + self._visibility
            self._by_handle.move_to_end(older.handle)
            return None
        size = len(message.body.expose())
        held = Held(message.receipt_handle, message, size, now, now + self._visibility)
        self._by_handle[held.handle] = held
        self.bytes += size
        return held

    def find_all(self, handles: Iterable[str]) -> list[Held]:
        """Return the messages of those handles that are held."""
        return [held for handle in handles if (held := self._by_handle.get(handle)) is not None]

    def let_go(self, held: Held, stage: Stage) -> None:
        """Move to `stage` and drop the message itself: the handle is enough for the steps that remain."""
        held.stage = stage
        held.message = None
        self.bytes -= held.bytes
        held.bytes = 0

    def drop(self, held: Held) -> None:
        """Forget a message and its handle."""
        self.bytes -= held.bytes
        del self._by_handle[held.handle]

    def due(self, now: float, limit: int) -> dict[str, int]:
        """Return up to `limit` handles to extend, with their seconds.

        A message is due when half of its visibility timeout has passed.
        """
        seconds: dict[str, int] = {}
        for held in self._by_handle.values():
            if now < held.visible_until - self._visibility / 2 or len(seconds) == limit:
                break
            ends = held.stage in {Stage.DELETING, Stage.GIVING_BACK} or held.is_stale(now)
            if ends or held.extending or held.must_go(now, self._visibility):
                continue
            left = held.received_at + MAX_HOLD - now
            wanted = max(1, int(min(self._visibility, left)))
            if left < self._visibility and now + wanted < held.visible_until + 1:
                continue  # the last extension, cut to whole seconds, would be due again at once
            held.extending = True
            seconds[held.handle] = wanted
        return seconds

    def extended(self, seconds_by_handle: dict[str, int], now: float) -> None:
        """Record extensions that were requested at `now` and made."""
        for handle, seconds in seconds_by_handle.items():
            held = self._by_handle.get(handle)
            if held is not None:
                held.extending = False
                held.visible_until = now + seconds
                self._by_handle.move_to_end(handle)

    def not_extended(self, handles: list[str]) -> None:
        """Record extensions that were not made: their messages are still due."""
        for handle in handles:
            held = self._by_handle.get(handle)
            if held is not None:
                held.extending = False


class IngestBuffer:
    """The messages that wait for a batch, in order of arrival. Every `now` is in monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[Held] = deque()
        self._bytes = 0
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, held: Held, now: float) -> None:
        """Append a message. The linger of a batch runs from its first message."""
        if not self._waiting:
            self._since = now
        self._keep(held)
        self._waiting.append(held)

    def put_back(self, held: Held) -> None:
        """Put a message before all others, to be tried again."""
        self._keep(held)
        self._waiting.appendleft(held)

    def take(self) -> Held:
        """Remove and return the next message. Raises IndexError if the buffer is empty."""
        held = self._waiting.popleft()
        self._bytes -= held.bytes
        return held

    def take_leaving(self, now: float, first: int | None = None) -> list[Held]:
        """Remove and return what must not be written: of all messages, or of so many first ones."""
        longest_ago = _last_useful_extension(now, self._limits.visibility)
        leaving = [
            held
            for held in itertools.islice(self._waiting, first)
            if now >= held.visible_until or longest_ago >= held.received_at
        ]
        if leaving:
            gone = set(map(id, leaving))
            self._waiting = deque(held for held in self._waiting if id(held) not in gone)
            self._bytes -= sum(held.bytes for held in leaving)
        return leaving

    def take_batch(self, now: float) -> list[Held]:
        """Remove and return the messages of one batch: at least one, unless the buffer is empty.

        The linger of the messages that remain starts again.
        """
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
        """Tell whether a batch is full, or has lingered long enough."""
        return (
            len(self._waiting) >= self._limits.batch_size
            or self._bytes >= self._limits.batch_bytes
            or now >= self._since + self._limits.linger
        )

    def _keep(self, held: Held) -> None:
        held.stage = Stage.BUFFERED
        self._bytes += held.bytes


_HELD_RATE: Final = 2.5
"""Messages per heartbeat and second of visibility, divided by the seconds of one extension of ten.

Half of the 10 · V/2 messages that can be extended in time (docs/design.md, Ingest).
"""

ASSUMED_SECONDS: Final = 0.1
"""Duration of one extension, assumed until one was measured."""

MAX_SAMPLES: Final = 100
SAMPLE_SECONDS: Final = 300.0
"""Age at which a sample expires; otherwise one slow call would lower the bound forever.

With a low bound, messages are written before an extension is due, so no faster call follows.
"""


class Heartbeat:
    """The number of messages that can be extended in time (docs/design.md, Ingest).

    Computed from the 99th percentile of recent extensions. Every `now` is in monotonic seconds.
    """

    def __init__(self, heartbeats: int, visibility: float) -> None:
        self._message_seconds = _HELD_RATE * heartbeats * visibility
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)
        self.bound = int(self._message_seconds / ASSUMED_SECONDS)
        """The number of messages that may be held."""

    def took(self, seconds: float, now: float) -> None:
        """Record that one extension of ten messages took so many seconds and ended at `now`."""
        self._samples.append((now, max(seconds, 0.001)))
        self._update_bound()

    def forget(self, now: float) -> None:
        """Drop the samples that have expired."""
        if self._samples and self._samples[0][0] <= now - SAMPLE_SECONDS:
            while self._samples and self._samples[0][0] <= now - SAMPLE_SECONDS:
                self._samples.popleft()
            self._update_bound()

    def _update_bound(self) -> None:
        seconds = sorted(seconds for _, seconds in self._samples) or [ASSUMED_SECONDS]
        self.bound = int(self._message_seconds / seconds[int(0.99 * len(seconds))])
