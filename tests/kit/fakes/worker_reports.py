"""The reports of a worker to its parent."""

from __future__ import annotations

from collections.abc import Callable

from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Outcome


def told(
    received: int, stored: int, given_back: int = 0, visible: int | None = None
) -> Callable[[IngestObserver], None]:
    """Return the reports of a worker, all at once."""

    def report(observer: IngestObserver) -> None:
        observer.moved(Movement.RECEIVED, received)
        observer.moved(Movement.GIVEN_BACK, given_back)
        observer.batch(batch(stored))
        depth = None if visible is None else QueueDepth(visible, in_flight=visible, delayed=0)
        observer.state(
            IngestState(
                ready=True,
                unavailable=None,
                stuck=None,
                **dict.fromkeys(("receivers", "deleters", "held_back", "held", "held_bytes"), 0),
                depth=depth,
                seals_left={},
            )
        )

    return report


def batch(messages: int, outcome: Outcome = Outcome.STORED) -> BatchReport:
    """Return the report of a batch of `count` messages with one outcome."""
    return BatchReport(
        outcomes={outcome: messages},
        stored={},
        reasons={},
        extra_fields={"email": messages},
        bytes=0,
        seconds=0,
        newest_age=0,
        oldest_age=0,
        max_receive_count=1,
        cause=None,
    )
