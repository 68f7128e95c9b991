"""The deletions of committed messages: which are due, and when the others are tried again."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

from vault_etl.ingest.engine.held import Held, Stage
from vault_etl.ingest.engine.limits import MAX_CALL

REFUSAL_PAUSES: Final = (1.0, 4.0)
"""Seconds until a refused deletion is tried again. After the next refusal the message is left to come again."""


class Deletions:
    """The committed messages whose deletion has not begun. Every `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self._waiting = deque[Held]()
        self._refused: list[tuple[float, str, Held]] = []
        """A heap: when each is tried again, its handle, and the message."""
        self._calls = 0
        """Deletes under way."""
        self._fail = False
        """True if the queue did not answer the last delete."""
        self._retry_at = 0.0

    def add(self, held: Held) -> None:
        """Let a message wait for its deletion."""
        held.stage = Stage.COMMITTED
        self._waiting.append(held)

    def due(self, now: float) -> int:
        """Return how many messages may be deleted now. In an outage that is one call, when its next try is due."""
        while self._refused and self._refused[0][0] <= now:
            self.add(heapq.heappop(self._refused)[2])
        if not self._fail:
            return len(self._waiting)
        waits = self._calls or now < self._retry_at
        return 0 if waits else min(MAX_CALL, len(self._waiting))

    def take(self, now: float) -> list[str]:
        """Return the handles of one call. Its end is reported with `answered` or `failed`."""
        handles: list[str] = []
        for _ in range(min(MAX_CALL, self.due(now))):
            held = self._waiting.popleft()
            held.stage = Stage.DELETING
            handles.append(held.handle)
        self._calls += bool(handles)
        return handles

    def answered(self) -> None:
        """Record that the queue answered a delete."""
        self._calls -= 1
        self._fail = False

    def failed(self, retry_at: float) -> None:
        """Record that the queue did not answer a delete: the next one is due at `retry_at`."""
        self._calls -= 1
        self._fail = True
        self._retry_at = retry_at

    def try_again(self, held: Held, now: float) -> bool:
        """Let a refused message wait for its next try. Return False if there is none."""
        if held.refusals == len(REFUSAL_PAUSES):
            return False
        held.stage = Stage.COMMITTED
        heapq.heappush(self._refused, (now + REFUSAL_PAUSES[held.refusals], held.handle, held))
        held.refusals += 1
        return True

    def hurry(self) -> None:
        """Make every next try due now: an end does not wait for it."""
        self._retry_at = 0.0
        while self._refused:
            self.add(self._refused.pop()[2])
