"""What a person, or a log, sees of an ingest while it runs."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

from vault_etl.base import logs
from vault_etl.cli.live_ingest import LiveIngest
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.workers import WorkersObserver
from vault_etl.records.messages import Outcome

MANY_RECEIVES: Final = 3
"""A message that is received so often is soon in the dead-letter queue (keys/: after five)."""


@contextlib.contextmanager
def ingest_view(*, quiet: bool) -> Iterator[WorkersObserver]:
    """A live line on a terminal, log lines elsewhere. `quiet` leaves of these what warns."""
    if sys.stderr.isatty() and not quiet:
        with LiveIngest() as live:
            yield live
    else:
        yield LoggedIngest()


class LoggedIngest:
    """`WorkersObserver` as log lines: one a batch, one when readiness changes, and one warning."""

    def __init__(self) -> None:
        self._warned = threading.Event()

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        return _LoggedWorker(pid, self._warned)

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """See `WorkersObserver.worker_ended`: a crash is worth a line."""
        if exit_code:
            logs.get_logger().warning("worker ended", pid=pid, exit_code=exit_code)


class _LoggedWorker:
    def __init__(self, pid: int, warned: threading.Event) -> None:
        self._log = logs.get_logger().bind(pid=pid)
        self._warned = warned
        self._lock = threading.Lock()
        self._shown: tuple[bool, str | None] | None = None

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`; the batches tell the rest."""

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        self._log.info("batch", **batch_line(report))
        if report.max_receive_count >= MANY_RECEIVES and not self._warned.is_set():
            self._warned.set()
            self._log.warning("received many times", receive_count=report.max_receive_count)

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        now = (state.ready, state.away)
        with self._lock:
            if now == self._shown:
                return
            self._shown = now
        if state.ready:
            self._log.info("ready")
        elif state.away is None:
            self._log.info("stopping")
        else:
            self._log.warning("not ready", away=state.away)


def batch_line(report: BatchReport) -> dict[str, int | float | str]:
    """A report as one flat object: every outcome, and the reasons that there were."""
    line: dict[str, int | float | str] = {"messages": report.messages}
    line |= {outcome.value: report.outcomes.get(outcome, 0) for outcome in Outcome}
    line |= {f"reason_{reason.value}": count for reason, count in report.reasons.items() if count}
    line |= {
        "extra_fields": sum(report.extra_fields.values()),
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "messages_per_second": round(report.messages / max(report.seconds, 0.001), 1),
        "newest_age": round(report.newest_age, 3),
        "oldest_age": round(report.oldest_age, 3),
        "max_receive_count": report.max_receive_count,
    }
    return line if report.cause is None else line | {"cause": report.cause}
