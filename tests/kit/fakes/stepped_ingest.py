"""An ingest in one thread: every step in turn, so that a test sees the same run every time."""

from __future__ import annotations

import threading
from contextlib import suppress

from tests.kit.fakes.clock import FakeClock
from vault_etl.base.errors import DeniedError, UnavailableError
from vault_etl.ingest.run import IngestSummary
from vault_etl.ingest.steps import IngestSteps

MOMENT_S = 0.1
"""What passes when there is nothing to do."""


class SteppedIngest:
    """Takes the steps that threads take in `vault_etl.ingest.run.Ingest`, one after the other."""

    def __init__(self, steps: IngestSteps, clock: FakeClock, *, receivers: int, wait: int) -> None:
        self.steps = steps
        self._clock = clock
        self._receivers = receivers
        self._wait = wait

    def run(self, stop: threading.Event) -> IngestSummary:
        """Run to the end; or to the first failure, after giving back the messages that are not committed."""
        engine = self.steps.engine
        try:
            while not engine.is_finished:
                if stop.is_set():
                    engine.stop()
                self.round()
        except Exception:
            self._settle()
            raise
        with suppress(UnavailableError, DeniedError):
            self.steps.measure()
        self.steps.tell()
        return self.summary()

    def round(self) -> None:
        """Every step once; if there was nothing to do, a moment passes."""
        steps = self.steps
        busy = [steps.receive(number, self._wait) for number in range(self._receivers)]
        busy.append(steps.write())
        while steps.delete() or steps.hold() or steps.give_back():
            busy.append(True)
        steps.review()
        if not any(busy):
            self._clock.advance(MOMENT_S)

    def summary(self) -> IngestSummary:
        """Count what has become of the messages so far."""
        return IngestSummary.of(
            self.steps.engine.tally, self.steps.depth, 0, self.steps.extra_fields
        )

    def _settle(self) -> None:
        """Delete what is committed, once, and give back the rest."""
        self.steps.engine.stop(give_back=True)
        with suppress(Exception):
            while self.steps.delete():
                pass
        while self.steps.give_back():
            pass
        self.steps.tell()
