"""The worker's end of `ingest --workers`: reports on standard output, and a lifeline to the parent."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any, Final

from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.cli.needed_roles import hint_of
from vault_etl.ingest.observer import BatchReport, IngestState, Movement

ORPHAN_SECONDS: Final = 5.0
"""What a worker takes to finish what it began, once its parent is gone."""

ORPHAN_ENDS_S: Final = 8.0
"""After so long it ends wherever it is: a call that does not return keeps the main thread from hearing."""


class ReportingObserver:
    """`IngestObserver` that writes what it is told for the parent: see `ingest/worker_processes.py`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        self._write({"moved": {movement: messages}})

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        self._write({"batch": report.as_dict()})

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        self._write({"state": state.as_dict()})

    def error(self, error: VaultEtlError) -> None:
        """Why this worker ends."""
        told = {"code": error.exit_code, "message": str(error), "hint": hint_of(error, "ingest")}
        self._write({"error": told})

    def _write(self, report: dict[str, Any]) -> None:
        # A parent that is gone reads nothing, and its end is what the lifeline tells of.
        with self._lock, contextlib.suppress(OSError):
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()


class Lifeline:
    """Ends when the parent does: its end of the pipe is closed then, even by `kill -9`."""

    def __init__(self, descriptor: int) -> None:
        self._ended_at: float | None = None
        threading.Thread(target=self._wait, args=(descriptor,), daemon=True).start()

    def is_cut(self) -> bool:
        """Whether the parent is gone."""
        return self._ended_at is not None

    def is_overdue(self) -> bool:
        """Whether it has been gone for so long that this process must be too."""
        ended_at = self._ended_at
        return ended_at is not None and time.monotonic() >= ended_at + ORPHAN_SECONDS

    def _wait(self, descriptor: int) -> None:
        os.read(descriptor, 1)
        self._ended_at = time.monotonic()
        time.sleep(ORPHAN_ENDS_S)
        os._exit(IncompleteError.exit_code)
