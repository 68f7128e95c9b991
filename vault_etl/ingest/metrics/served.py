"""Metrics and the server that answers for them: of one process, or of a parent and its workers."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.ingest.metrics.server import Check, MetricsServer
from vault_etl.ingest.metrics.workers import WorkerMetrics


class ServedMetrics:
    """Answers from the moment that it is made until it is left.

    Raises ConfigurationError if the address cannot be listened on.
    """

    def __init__(self, address: str, ready: Check, healthy: Check, workers: int) -> None:
        self.observer = PrometheusMetrics() if workers == 1 else None
        """What a process that does the work itself tells."""
        self.workers = WorkerMetrics() if workers > 1 else None
        """What a parent gives to its workers."""
        exposition = (self.observer or self.workers or PrometheusMetrics()).exposition
        self._server = MetricsServer(address, exposition=exposition, ready=ready, healthy=healthy)
        self.address = self._server.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        if self.workers is not None:
            self.workers.close()
