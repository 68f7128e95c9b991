"""An engine for tests to step, and messages for it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from vault_etl.base.pii import Pii
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.held import Held
from vault_etl.ingest.engine.limits import Limits
from vault_etl.records.messages import Message, Outcome

VISIBILITY_S = 30.0
_NUMBERS = itertools.count()


def new_engine(**limits: Any) -> IngestEngine:  # noqa: ANN401 - as `Limits` has them
    """An engine that has done nothing."""
    return IngestEngine(Limits(**{"visibility": VISIBILITY_S, **limits}))


def new_message(size: int = 10) -> Message:
    """A message that no other is like."""
    number = next(_NUMBERS)
    return Message(f"id-{number}", f"handle-{number}", Pii(b"x" * size), 0)


def receive(
    engine: IngestEngine, count: int = 10, now: float = 0, *, receiver: int = 0, size: int = 10
) -> list[Message]:
    """A call that brings so many, at most as many as are granted."""
    granted = engine.grant()
    messages = [new_message(size) for _ in range(min(count, granted))]
    engine.received(receiver, granted, messages, now)
    return messages


def write(
    engine: IngestEngine, now: float, outcome: Outcome = Outcome.STORED, **retry: float
) -> list[Held]:
    """Write the next batch, all of it with this outcome; the batch."""
    batch = engine.next_batch(now)
    engine.written(batch, [outcome] * len(batch), now, **retry)
    return batch


def handles(batch: Sequence[Held | Message]) -> list[str]:
    """Their handles."""
    return [one.handle if isinstance(one, Held) else one.receipt_handle for one in batch]


def settle(engine: IngestEngine) -> tuple[list[str], list[str]]:
    """Delete and give back whatever is to be; the handles of both."""
    deleted: list[str] = []
    returned: list[str] = []
    while some := engine.next_deletes():
        engine.deleted(some, [])
        deleted += some
    while some := engine.next_returns():
        engine.returned(some)
        returned += some
    return deleted, returned


def settled(engine: IngestEngine) -> int:
    """How many messages the tally says have an end."""
    tally = engine.tally
    return (
        tally.stored
        + tally.duplicates
        + tally.quarantined
        + tally.already_quarantined
        + tally.given_back
    )
