"""Reports of an ingest while it runs: live or logged views, warnings, and a worker's reports to its parent."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from typing_extensions import override

from vault_etl.base import logs
from vault_etl.base.errors import VaultEtlError
from vault_etl.cli.ingest_live import LiveIngest
from vault_etl.cli.needed_roles import hint_of
from vault_etl.event.extra_fields import MAX_NAMES
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import (
    BatchReport,
    IngestObserver,
    IngestState,
    Movement,
    WorkersObserver,
)
from vault_etl.records.messages import Outcome

MANY_RECEIVES: Final = 3
"""Receives after which a message is close to the dead-letter queue (five, in the template of keys/)."""

WARNING_WINDOW: Final = 100
"""Messages in the window of a warning: the last batches that have this many together."""

WARNING_LEAST: Final = 10
"""The fewest messages that justify a warning about all of them."""

WARNING_SECONDS: Final = 60.0
"""Seconds between two warnings about quarantined messages."""


@contextlib.contextmanager
def ingest_view(*, quiet: bool) -> Iterator[WorkersObserver]:
    """A live line on a terminal, log lines elsewhere. With `quiet` only warnings are logged."""
    if sys.stderr.isatty() and not quiet:
        with LiveIngest() as live:
            yield live
    else:
        yield LoggedIngest()


class LoggedIngest(WorkersObserver):
    """Log lines of an ingest: one for each batch, one when readiness changes, and one warning."""

    def __init__(self) -> None:
        self._warned = threading.Event()

    @override
    def worker(self, pid: int) -> IngestObserver:
        return _LoggedWorker(pid, self._warned)

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        """Log a crash of the worker."""
        if exit_code:
            logs.get_logger().warning("worker ended", pid=pid, exit_code=exit_code)


class _LoggedWorker(IngestObserver):
    def __init__(self, pid: int, warned: threading.Event) -> None:
        self._log = logs.get_logger().bind(pid=pid)
        self._warned = warned
        self._lock = threading.Lock()
        self._shown: tuple[bool, str | None] | None = None

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        """Ignore movements: batches have the rest."""

    @override
    def batch(self, report: BatchReport) -> None:
        self._log.info("batch", **batch_line(report))
        if report.max_receive_count >= MANY_RECEIVES and not self._warned.is_set():
            self._warned.set()
            self._log.warning("received many times", receive_count=report.max_receive_count)

    @override
    def state(self, state: IngestState) -> None:
        now = (state.ready, state.unavailable)
        with self._lock:
            if now == self._shown:
                return
            self._shown = now
        if state.ready:
            self._log.info("ready")
        elif state.unavailable is None:
            self._log.info("stopping")
        else:
            self._log.warning("not ready", unavailable=state.unavailable)


def batch_line(report: BatchReport) -> dict[str, int | float | str]:
    """A report as one flat object: every outcome, and the reasons that occurred."""
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


class IngestWarnings(WorkersObserver, IngestObserver):
    """Warnings about unknown fields and about mostly quarantined messages, counted over all workers together."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._recent: deque[tuple[int, Mapping[Reason, int]]] = deque()
        self._quiet_until = 0.0

    @override
    def worker(self, pid: int) -> IngestObserver:
        del pid
        return self

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        """Ignore the end of a worker: the view reports it."""

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        """Ignore movements: batches have the rest."""

    @override
    def state(self, state: IngestState) -> None:
        """Ignore states: the view reports them."""

    @override
    def batch(self, report: BatchReport) -> None:
        with self._lock:
            self._warn_of_fields(report.extra_fields)
            self._warn_of_reasons(report)

    def _warn_of_fields(self, extra_fields: Mapping[str, int]) -> None:
        """Warn of each name once in a run: with `--follow`, the summary comes too late."""
        new = sorted(extra_fields.keys() - self._names)[: MAX_NAMES - len(self._names)]
        if new:
            self._names.update(new)
            logs.get_logger().warning(
                "unknown fields are dropped",
                names=", ".join(new),
                hint="`vault-etl ingest --strict` quarantines such events instead",
            )

    def _warn_of_reasons(self, report: BatchReport) -> None:
        settled = report.messages - report.outcomes.get(Outcome.RETRY, 0)
        if not settled:
            return
        self._recent.append((settled, report.reasons))
        messages = sum(count for count, _ in self._recent)
        while messages - self._recent[0][0] >= WARNING_WINDOW:
            messages -= self._recent.popleft()[0]
        reasons: Counter[Reason] = Counter()
        for _, counts in self._recent:
            reasons.update(counts)
        now = self._now()
        if not reasons or messages < WARNING_LEAST or now < self._quiet_until:
            return
        ((reason, quarantined),) = reasons.most_common(1)
        if quarantined * 2 > messages:
            self._quiet_until = now + WARNING_SECONDS
            logs.get_logger().warning(
                "most messages are quarantined",
                reason_code=reason.value,
                quarantined=quarantined,
                messages=messages,
                hint=f"`vault-etl quarantine list --reason-code {reason.value}`",
            )


class ReportingObserver(IngestObserver):
    """A worker's reports to its parent, as JSON lines on standard output (`ingest/worker_processes.py` reads them)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        self._write({"moved": {movement: messages}})

    @override
    def batch(self, report: BatchReport) -> None:
        self._write({"batch": report.as_dict()})

    @override
    def state(self, state: IngestState) -> None:
        self._write({"state": state.as_dict()})

    def error(self, error: VaultEtlError) -> None:
        """Report the error that ends this worker."""
        told = {"code": error.exit_code, "message": str(error), "hint": hint_of(error, "ingest")}
        self._write({"error": told})

    def _write(self, report: dict[str, Any]) -> None:
        # If the parent is gone, the lifeline ends this worker.
        with self._lock, contextlib.suppress(OSError):
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()
