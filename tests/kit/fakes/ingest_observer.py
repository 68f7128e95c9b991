"""An observer that remembers."""

from __future__ import annotations

from collections import Counter

from typing_extensions import override

from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement


class FakeIngestObserver(IngestObserver):
    """`IngestObserver` that keeps everything it is told."""

    def __init__(self) -> None:
        self.movements: Counter[Movement] = Counter()
        self.batches: list[BatchReport] = []
        self.states: list[IngestState] = []

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        self.movements[movement] += messages

    @override
    def batch(self, report: BatchReport) -> None:
        self.batches.append(report)

    @override
    def state(self, state: IngestState) -> None:
        self.states.append(state)
