"""The live line of an ingest on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from typing_extensions import override

from vault_etl.base import logs
from vault_etl.cli.ui.tables import packed
from vault_etl.ingest.observer import (
    BatchReport,
    IngestObserver,
    IngestState,
    Movement,
    WorkersObserver,
)
from vault_etl.records.messages import Outcome

RATE_SECONDS: Final = 10.0
"""Seconds over which the rate is measured: short enough to follow, longer than most batches."""

_REFRESHES: Final = 4
_MINUTE: Final = 60
_HOUR: Final = 3600


class LiveIngest(WorkersObserver):
    """The live line, which several threads report to."""

    def __init__(
        self, console: Console | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._began = now()
        self._totals: Counter[Outcome] = Counter()
        self._recent: deque[tuple[float, int]] = deque()
        self._ages: dict[int, float] = {}
        self._states: dict[int, IngestState] = {}
        console = console or Console(file=sys.stderr)
        self._live = Live(
            console=console,
            get_renderable=lambda: Text("\n".join(packed(self.parts(), console.width))),
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,  # log lines appear above the live line; data on standard output is not touched
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    @override
    def worker(self, pid: int) -> IngestObserver:
        return _LiveWorker(self, pid)

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        """Forget the worker; a log line above the live line names a worker that crashed."""
        if exit_code:
            logs.get_logger().warning("worker ended", pid=pid, exit_code=exit_code)
        with self._lock:
            self._states.pop(pid, None)
            self._ages.pop(pid, None)

    def batch(self, pid: int, report: BatchReport) -> None:
        """Count the batch of a worker."""
        with self._lock:
            self._totals.update(report.outcomes)
            self._recent.append(
                (self._now(), report.messages - report.outcomes.get(Outcome.RETRY, 0))
            )
            self._ages[pid] = report.oldest_age

    def state(self, pid: int, state: IngestState) -> None:
        """Note the state of a worker."""
        with self._lock:
            self._states.pop(pid, None)
            self._states[pid] = state
            if state.held == 0 and state.depth is not None and state.depth.visible == 0:
                self._ages[pid] = 0.0

    def parts(self) -> list[str]:
        """The parts of the live line, the most urgent first; a narrow terminal wraps them."""
        with self._lock:
            quarantined = self._totals[Outcome.QUARANTINED]
            parts = [
                f"ingest: {self._condition()}",
                f"{self._rate():,.0f}/s",
                f"lag {_duration(max(self._ages.values(), default=0.0))}",
                self._queue(),
                f"stored {self._totals[Outcome.STORED]:,}",
                f"duplicates {self._totals[Outcome.DUPLICATE]:,}",
                f"quarantined {quarantined + self._totals[Outcome.ALREADY_QUARANTINED]:,}",
            ]
        return [part for part in parts if part]

    def _condition(self) -> str:
        states = self._states.values()
        unavailable = [state.unavailable for state in states if state.unavailable is not None]
        if unavailable:
            return f"waiting ({unavailable[0]})"
        if not states:
            return "starting"
        return "ready" if all(state.ready for state in states) else "stopping"

    def _rate(self) -> float:
        now = self._now()
        while self._recent and self._recent[0][0] <= now - RATE_SECONDS:
            self._recent.popleft()
        seconds = min(RATE_SECONDS, max(now - self._began, 1.0))
        return sum(messages for _, messages in self._recent) / seconds

    def _queue(self) -> str:
        """The depth of the queue as the last worker reported it: all workers read the same queue."""
        depths = [state.depth for state in self._states.values() if state.depth is not None]
        return (
            f"queue {depths[-1].visible:,} + {depths[-1].in_flight:,} in flight" if depths else ""
        )


class _LiveWorker(IngestObserver):
    def __init__(self, view: LiveIngest, pid: int) -> None:
        self._view = view
        self._pid = pid

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        """Ignore movements: batches have the rest."""

    @override
    def batch(self, report: BatchReport) -> None:
        self._view.batch(self._pid, report)

    @override
    def state(self, state: IngestState) -> None:
        self._view.state(self._pid, state)


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
