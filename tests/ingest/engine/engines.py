"""Engines that tests step, and messages for them."""

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
    """Return an engine in its first state."""
    return IngestEngine(Limits(**{"visibility": VISIBILITY_S, **limits}))


def new_message(size: int = 10) -> Message:
    """Return a message with unique ids."""
    number = next(_NUMBERS)
    return Message(f"id-{number}", f"handle-{number}", Pii(b"x" * size), 0)


def receive(
    engine: IngestEngine, count: int = 10, now: float = 0, *, receiver: int = 0, size: int = 10
) -> list[Message]:
    """Receive `count` messages, or as many as are granted."""
    granted = engine.grant()
    messages = [new_message(size) for _ in range(min(count, granted))]
    engine.received(receiver, granted, messages, now)
    return messages


def write(
    engine: IngestEngine, now: float, outcome: Outcome = Outcome.STORED, **retry: float
) -> list[Held]:
    """Write the next batch with one outcome for all. Return the batch."""
    batch = engine.next_batch(now)
    engine.written(batch, [outcome] * len(batch), now, **retry)
    return batch


def handles(batch: Sequence[Held | Message]) -> list[str]:
    """Return the handles of the messages."""
    return [one.handle if isinstance(one, Held) else one.receipt_handle for one in batch]


def settle(engine: IngestEngine) -> tuple[list[str], list[str]]:
    """Delete and give back everything that is due. Return the handles of both."""
    deleted: list[str] = []
    given_back: list[str] = []
    while some := engine.next_deletes(0):
        engine.deleted(some, [], 0)
        deleted += some
    while some := engine.next_to_give_back():
        engine.given_back(some)
        given_back += some
    return deleted, given_back


def settled(engine: IngestEngine) -> int:
    """Return the number of messages that have an end, by the tally."""
    tally = engine.tally
    return (
        tally.stored
        + tally.duplicates
        + tally.quarantined
        + tally.already_quarantined
        + tally.given_back
    )
