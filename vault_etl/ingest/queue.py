"""The queue: receive, delete, extend, each for up to ten messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.records.messages import Message


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What the queue says of itself (approximate, as SQS counts)."""

    visible: int
    in_flight: int
    delayed: int


class Queue(Protocol):
    """A queue that keeps a message until it is deleted."""

    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        """Up to `limit` messages (1 to 10), after at most `wait_seconds` (0 to 20)."""

    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        """Delete up to ten messages; the handles that could not be deleted, for whatever reason."""

    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """Set when up to ten messages are seen again; the handles that have gone stale.

        Raises UnavailableError if any was not extended for another reason: all are still due.
        """


class QueueGauge(Protocol):
    """Tells of a queue what no message tells."""

    def depth(self) -> QueueDepth:
        """The three counts."""

    def visibility_timeout(self) -> int:
        """How many seconds a message that is received stays unseen by others."""
