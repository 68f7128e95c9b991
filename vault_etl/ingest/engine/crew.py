"""The number of calls of the queue that are made at the same time: as many as its delay needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES, Limits

BUSY_CORE: Final = 0.8
"""The part of a core from which on more threads would only take it from one another."""

FULL_POLL: Final = MAX_CALL / 2
"""Messages of an average poll from which on the queue holds more than is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Counts since the last review, and of what waits now."""

    core: float
    """The part of one core that the process used."""
    polls: int
    """Polls that ended, or failed."""
    received: int
    buffered: int
    """Messages that wait for a batch."""
    to_delete: int
    """Committed messages that may be deleted: in an outage of deletions, those of one call at most."""


class Crews:
    """The number of threads that receive, and of those that delete.

    A process uses one core at most. If it has core to spare while messages wait for a call, then the delay of calls
    bounds it: a review doubles the crew. A crew whose work is done shrinks to its least size.
    """

    def __init__(self, limits: Limits) -> None:
        self.receivers = limits.receivers
        self.deleters = limits.deleters
        self._limits = limits
        in_memory = limits.max_held_bytes // (MAX_CALL * MAX_MESSAGE_BYTES)
        self._most_receivers = max(limits.receivers, min(limits.most_calls, in_memory))
        self._most_deleters = max(limits.deleters, limits.most_calls)

    def review(self, span: Span) -> None:
        """Set both numbers by what happened."""
        limits, may_grow = self._limits, span.core < BUSY_CORE
        if span.received < FULL_POLL * span.polls:
            self.receivers = limits.receivers
        elif may_grow and span.polls and span.buffered < limits.batch_size:
            self.receivers = min(2 * self.receivers, self._most_receivers)
        if not span.to_delete:
            self.deleters = max(self.deleters // 2, limits.deleters)
        elif may_grow and span.to_delete > MAX_CALL * self.deleters:
            self.deleters = min(2 * self.deleters, self._most_deleters)
