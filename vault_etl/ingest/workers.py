"""Worker processes: each is an ingest of its own, watched by one parent."""

from __future__ import annotations

from typing import Protocol

from vault_etl.base.errors import VaultEtlError
from vault_etl.ingest.observer import IngestObserver
from vault_etl.ingest.observers import observers


class Worker(Protocol):
    """One worker process."""

    pid: int
    error: VaultEtlError | None
    """Why it ended, if it has said so."""

    def watch(self, observer: IngestObserver) -> None:
        """Have the observer told what the worker reports, by a thread."""

    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it. All that it reported is told by then."""

    def stop(self, *, now: bool = False) -> None:
        """Ask it to finish what it began; `now`: kill it."""


class WorkerStarter(Protocol):
    """Starts worker processes, each in a slot whose last worker has ended."""

    def start(self, slot: int, max_messages: int | None) -> Worker:
        """A worker for at most so many messages."""

    def ended(self, slot: int) -> None:
        """The worker of this slot has ended."""


class WorkersObserver(Protocol):
    """Shows the workers of one ingest; one without worker processes has one, itself."""

    def worker(self, pid: int) -> IngestObserver:
        """The observer of the worker with this process id. One a worker, not one a call."""

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """This worker has ended: its state no longer counts. What it has done does."""


def all_observers(*targets: WorkersObserver) -> WorkersObserver:
    """Tells each of `targets`, in this order."""
    return _All(targets)


class _All:
    def __init__(self, targets: tuple[WorkersObserver, ...]) -> None:
        self._targets = targets

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        return observers(*(target.worker(pid) for target in self._targets))

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """See `WorkersObserver.worker_ended`."""
        for target in self._targets:
            target.worker_ended(pid, exit_code)
