"""What an ingest warns of while it runs: fields that are lost, and a pipe of the wrong shape."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.base import logs
from vault_etl.event.events import Reason
from vault_etl.event.extra_fields import MAX_NAMES
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.records.messages import Outcome

WINDOW: Final = 100
"""Messages that are looked at: the last batches that have so many together."""

LEAST: Final = 10
"""Fewer messages say nothing of a pipe."""

SECONDS: Final = 60.0
"""A warning about the same comes once in so long."""


class IngestWarnings:
    """`WorkersObserver`, and the observer of every worker: it looks at all of them together."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._recent: deque[tuple[int, Mapping[Reason, int]]] = deque()
        self._quiet_until = 0.0

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        del pid
        return self

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """See `WorkersObserver.worker_ended`."""

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        with self._lock:
            self._look_at_fields(report.extra_fields)
            self._look_at_reasons(report)

    def _look_at_fields(self, extra_fields: Mapping[str, int]) -> None:
        """Each name once in a run: the summary of `--follow` comes when it is too late."""
        new = sorted(extra_fields.keys() - self._names)[: MAX_NAMES - len(self._names)]
        if new:
            self._names.update(new)
            logs.get_logger().warning(
                "unknown fields are dropped",
                names=", ".join(new),
                hint="`vault-etl ingest --strict` quarantines such events instead",
            )

    def _look_at_reasons(self, report: BatchReport) -> None:
        settled = report.messages - report.outcomes.get(Outcome.RETRY, 0)
        if not settled:
            return
        self._recent.append((settled, report.reasons))
        messages = sum(count for count, _ in self._recent)
        while messages - self._recent[0][0] >= WINDOW:
            messages -= self._recent.popleft()[0]
        reasons: Counter[Reason] = Counter()
        for _, counts in self._recent:
            reasons.update(counts)
        now = self._now()
        if not reasons or messages < LEAST or now < self._quiet_until:
            return
        ((reason, quarantined),) = reasons.most_common(1)
        if quarantined * 2 > messages:
            self._quiet_until = now + SECONDS
            logs.get_logger().warning(
                "most messages are quarantined",
                reason_code=reason.value,
                quarantined=quarantined,
                messages=messages,
                hint=f"`vault-etl quarantine list --reason-code {reason.value}`",
            )
