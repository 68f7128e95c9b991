"""Several observers of one ingest, as one."""

from __future__ import annotations

from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement


def observers(*targets: IngestObserver) -> IngestObserver:
    """Tells each of `targets`, in this order, what it is told."""
    return targets[0] if len(targets) == 1 else _Observers(targets)


class _Observers:
    def __init__(self, targets: tuple[IngestObserver, ...]) -> None:
        self._targets = targets

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        for target in self._targets:
            target.moved(movement, messages)

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        for target in self._targets:
            target.batch(report)

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        for target in self._targets:
            target.state(state)
