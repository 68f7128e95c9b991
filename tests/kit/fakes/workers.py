"""Workers that are no processes: each lives and ends as a test says, by a clock in its hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.ingest_observer import FakeIngestObserver
from vault_etl.base.errors import VaultEtlError
from vault_etl.ingest.observer import IngestObserver, WorkersObserver
from vault_etl.ingest.worker_slot import Worker
from vault_etl.ingest.workers import WorkerStarter

KILLED = -9


@dataclass(slots=True)
class FakeWorker(Worker):
    """`Worker`: ends by itself after `lives` seconds, or `stops_in` seconds after it was asked to."""

    lives: float = float("inf")
    code: int = 0
    stops_in: float = 0.0
    reports: Callable[[IngestObserver], None] = lambda _: None
    says: VaultEtlError | None = None
    """What becomes `error` with its end."""

    pid: int = 0
    error: VaultEtlError | None = None
    started_at: float = 0.0
    max_messages: int | None = None
    stops: list[float] = field(default_factory=list)
    """When it was asked to stop."""
    killed_at: float | None = None
    clock: FakeClock = field(default_factory=FakeClock)

    @override
    def watch(self, observer: IngestObserver) -> None:
        self.reports(observer)

    @override
    def exit_code(self) -> int | None:
        if self.killed_at is not None:
            return KILLED
        now = self.clock.monotonic()
        if now >= self.started_at + self.lives:
            self.error = self.says
            return self.code
        return 0 if self.stops and now >= self.stops[0] + self.stops_in else None

    @override
    def stop(self, *, now: bool = False) -> None:
        if now:
            self.killed_at = self.clock.monotonic()
        else:
            self.stops.append(self.clock.monotonic())


class FakeStarter(WorkerStarter, WorkersObserver):
    """`WorkerStarter` and `WorkersObserver`. `scripts` are the workers of each slot, in order.

    An error in the place of a worker is raised.
    """

    def __init__(self, clock: FakeClock, *scripts: Sequence[FakeWorker | VaultEtlError]) -> None:
        self.started: list[list[FakeWorker]] = [[] for _ in scripts]
        self.ends: list[int] = []
        """The slots whose workers ended, in order."""
        self.observer = FakeIngestObserver()
        self.forgotten: list[int] = []
        self.exit_codes: list[int] = []
        self._clock = clock
        self._scripts = [iter(script) for script in scripts]

    @override
    def start(self, slot: int, max_messages: int | None) -> Worker:
        worker = next(self._scripts[slot])
        if isinstance(worker, VaultEtlError):
            raise worker
        worker.pid = 100 * (slot + 1) + len(self.started[slot])
        worker.clock, worker.started_at = self._clock, self._clock.monotonic()
        worker.max_messages = max_messages
        self.started[slot].append(worker)
        return worker

    @override
    def ended(self, slot: int) -> None:
        self.ends.append(slot)

    @override
    def worker(self, pid: int) -> IngestObserver:
        assert pid
        return self.observer

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        self.forgotten.append(pid)
        self.exit_codes.append(exit_code)
