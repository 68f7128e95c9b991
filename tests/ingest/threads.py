"""An ingest with its threads, in the hands of a test."""

from __future__ import annotations

import threading

from vault_etl.ingest.run import Ingest, IngestSummary

PATIENCE_S = 30
"""Real seconds, after which a test gives up: far more than anything takes."""


class Signals:
    """`StopFlag` by two events."""

    def __init__(self) -> None:
        self.first = threading.Event()
        self.second = threading.Event()

    def is_set(self) -> bool:
        """See `StopFlag.is_set`."""
        return self.first.is_set()

    def is_urgent(self) -> bool:
        """See `StopFlag.is_urgent`."""
        return self.second.is_set()


class Process:
    """Runs an ingest beside the test; what it raised is raised by `end`."""

    def __init__(self, ingest: Ingest) -> None:
        self.signals = Signals()
        self._ingest = ingest
        self._summary: IngestSummary | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> IngestSummary:
        """Wait for it."""
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
