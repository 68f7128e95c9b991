"""An observer that remembers."""

from __future__ import annotations

from collections import Counter

from vault_etl.ingest.observer import BatchReport, IngestState, Movement


class FakeIngestObserver:
    """`IngestObserver` that keeps everything it is told."""

    def __init__(self) -> None:
        self.movements: Counter[Movement] = Counter()
        self.batches: list[BatchReport] = []
        self.states: list[IngestState] = []

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        self.movements[movement] += messages

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        self.batches.append(report)

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        self.states.append(state)
