"""SIGINT and SIGTERM, as an ingest hears them."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from vault_etl.cli.worker import Lifeline


class StopOnSignal:
    """Set by SIGINT or SIGTERM: what was begun is finished first. A second signal ends at once.

    For a worker, the end of its parent is a signal too.
    """

    def __init__(self, lifeline: Lifeline | None = None) -> None:
        self._received: list[int] = []
        self._lifeline = lifeline
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else 0: SIGTERM is how a supervisor ends what runs for ever."""
        return 128 + signal.SIGINT if self._received[:1] == [signal.SIGINT] else 0

    def is_set(self) -> bool:
        """See `Stop.is_set`."""
        return bool(self._received) or (self._lifeline is not None and self._lifeline.is_cut())

    def is_urgent(self) -> bool:
        """See `Stop.is_urgent`."""
        overdue = self._lifeline is not None and self._lifeline.is_overdue()
        return len(self._received) > 1 or overdue

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._received and self._lifeline is None:
            sys.stderr.write("vault-etl: finishing the batch in hand; once more to end at once\n")
        self._received.append(number)
