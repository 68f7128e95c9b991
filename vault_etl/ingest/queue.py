"""The queue that an ingest reads: the protocols for its messages and for its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.records.messages import Message


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The queue's own counts of its messages (approximate, as SQS counts)."""

    visible: int
    in_flight: int
    delayed: int


class Queue(Protocol):
    """A queue that keeps a message until it is deleted."""

    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        """Receive up to `limit` messages (1 to 10), after at most `wait_seconds` (0 to 20)."""

    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        """Delete up to ten messages. Return the handles that could not be deleted, for any reason."""

    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """Set in how many seconds up to ten messages become visible again. Return the stale handles.

        Raises UnavailableError if a message was not extended for another reason: all are still due.
        """


class QueueGauge(Protocol):
    """Counts and settings of a queue."""

    def depth(self) -> QueueDepth:
        """Return the three counts."""

    def visibility_timeout(self) -> int:
        """Return the seconds for which a received message is hidden from other receivers."""
