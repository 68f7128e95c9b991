"""An ingest with its threads, controlled by a test."""

from __future__ import annotations

import threading

from typing_extensions import override

from vault_etl.ingest.run import Ingest, IngestSummary, StopFlag

PATIENCE_S = 30
"""Real seconds, after which a test gives up: far more than anything takes."""


class Signals(StopFlag):
    """A `StopFlag` of two events."""

    def __init__(self) -> None:
        self.first = threading.Event()
        self.second = threading.Event()

    @override
    def is_set(self) -> bool:
        return self.first.is_set()

    @override
    def is_urgent(self) -> bool:
        return self.second.is_set()


class Process:
    """Runs an ingest beside the test; `end` raises its error."""

    def __init__(self, ingest: Ingest) -> None:
        self.signals = Signals()
        self._ingest = ingest
        self._summary: IngestSummary | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> IngestSummary:
        """Wait for the end."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the run does not end"
        if self._error is not None:
            raise self._error
        assert self._summary is not None
        return self._summary

    def _run(self) -> None:
        try:
            self._summary = self._ingest.run(self.signals)
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self._error = error
