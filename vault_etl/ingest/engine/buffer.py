"""The messages that wait for a batch, in the order in which they are to be written."""

from __future__ import annotations

from collections import deque

from vault_etl.ingest.engine.held import Held, Stage
from vault_etl.ingest.engine.limits import Limits


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
