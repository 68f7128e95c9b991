"""The limits of an ingest, and the count of the outcomes of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.records.messages import Outcome

MAX_CALL: Final = 10
"""Messages in one call of the queue: SQS's own limit."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Bytes of one message: SQS's own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of an ingest. Times are in seconds.

    Raises ValueError for limits that allow no message at all.
    """

    batch_size: int = 1_000
    batch_bytes: int = 16 * MAX_MESSAGE_BYTES
    linger: float = 1.0
    max_held: int = 10_000
    max_held_bytes: int = 64 * MAX_MESSAGE_BYTES
    visibility: float = 30.0
    receivers: int = 1
    """Receives at the same time, at least."""
    deleters: int = 2
    """Deletes at the same time, at least."""
    most_calls: int = 1
    """Receives at the same time, and deletes, that a delay of the queue leads to."""
    heartbeats: int = 1
    max_messages: int | None = None

    def __post_init__(self) -> None:
        least = min(self.batch_size, self.batch_bytes, self.max_held, self.receivers)
        if least < 1 or self.visibility <= 0 or self.max_held_bytes < MAX_MESSAGE_BYTES:
            raise ValueError("nothing could ever be received within these limits")


@dataclass(slots=True)
class Tally:
    """Counts of the messages so far, by outcome."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    already_quarantined: int = 0
    given_back: int = 0
    deleted: int = 0

    @property
    def settled(self) -> int:
        """The number of committed messages, whatever their outcome."""
        return self.stored + self.duplicates + self.quarantined + self.already_quarantined

    def add(self, outcomes: Mapping[Outcome, int]) -> None:
        """Add the outcomes of one batch."""
        self.stored += outcomes.get(Outcome.STORED, 0)
        self.duplicates += outcomes.get(Outcome.DUPLICATE, 0)
        self.quarantined += outcomes.get(Outcome.QUARANTINED, 0)
        self.already_quarantined += outcomes.get(Outcome.ALREADY_QUARANTINED, 0)
