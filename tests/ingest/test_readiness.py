"""The answers of an ingest's probes, from the states that its workers report."""

from __future__ import annotations

from tests.ingest.metrics.reports import state
from tests.kit.fakes.clock import FakeClock
from vault_etl.ingest.readiness import SILENT, STARTING, STOPPING, Readiness
from vault_etl.ingest.steps import STUCK_SECONDS


class Probed:
    """Two workers, and the answers of the probes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stopping = False
        self.readiness = Readiness(2, lambda: self.stopping, self.clock.monotonic)
        self.workers = [self.readiness.worker(pid) for pid in (1, 2)]


def test_an_ingest_is_ready_when_every_worker_is() -> None:
    """It is not ready before all have begun, while a dependency is unavailable, which is named, or at the end."""
    probed = Probed()
    first, second = probed.workers
    first.state(state())
    assert probed.readiness.reason() == STARTING
    second.state(state(ready=False, unavailable="postgres: unavailable"))
    assert probed.readiness.reason() == "postgres: unavailable"
    second.state(state())
    assert probed.readiness.reason() is None
    probed.stopping = True
    assert probed.readiness.reason() == STOPPING


def test_an_ingest_is_unhealthy_while_a_thread_is_stuck() -> None:
    """It is healthy again when the step ends, or another worker replaces this one. An outage does not matter."""
    probed = Probed()
    first, second = probed.workers
    first.state(state(ready=False, unavailable="postgres: unavailable"))
    assert probed.readiness.unhealthy() is None
    second.state(state(stuck="receive-0"))
    assert probed.readiness.unhealthy() == "stuck: receive-0"
    second.state(state())
    assert probed.readiness.unhealthy() is None
    second.state(state(stuck="write"))
    probed.readiness.worker_ended(2, -9)
    assert probed.readiness.unhealthy() is None


def test_a_silent_worker_makes_an_ingest_unhealthy() -> None:
    """A worker that never reported counts too; an ended worker does not."""
    probed = Probed()
    probed.workers[0].state(state())
    probed.clock.advance(STUCK_SECONDS - 1)
    probed.workers[0].state(state())
    assert probed.readiness.unhealthy() is None
    probed.clock.advance(1)
    assert probed.readiness.unhealthy() == SILENT
    probed.readiness.worker_ended(2, 1)
    assert probed.readiness.unhealthy() is None
