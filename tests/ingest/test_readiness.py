"""What the probes of an ingest say, of the states that its workers tell."""

from __future__ import annotations

from tests.ingest.metrics.reports import state
from tests.kit.fakes.clock import FakeClock
from vault_etl.ingest.readiness import SILENT, STARTING, STOPPING, Readiness
from vault_etl.ingest.steps import STUCK_SECONDS


class Probed:
    """Two workers, and what is said of them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stopping = False
        self.readiness = Readiness(2, lambda: self.stopping, self.clock.monotonic)
        self.workers = [self.readiness.worker(pid) for pid in (1, 2)]


def test_it_is_ready_when_every_worker_is() -> None:
    """Not before all have begun, nor while one lacks something, which is named, nor at the end."""
    probed = Probed()
    first, second = probed.workers
    first.state(state())
    assert probed.readiness.reason() == STARTING
    second.state(state(ready=False, away="postgres: unavailable"))
    assert probed.readiness.reason() == "postgres: unavailable"
    second.state(state())
    assert probed.readiness.reason() is None
    probed.stopping = True
    assert probed.readiness.reason() == STOPPING


def test_it_is_unhealthy_while_a_thread_is_stuck() -> None:
    """And healthy again if that comes to an end, or another worker takes its place. An outage is no illness."""
    probed = Probed()
    first, second = probed.workers
    first.state(state(ready=False, away="postgres: unavailable"))
    assert probed.readiness.unhealthy() is None
    second.state(state(stuck="receive-0"))
    assert probed.readiness.unhealthy() == "stuck: receive-0"
    second.state(state())
    assert probed.readiness.unhealthy() is None
    second.state(state(stuck="write"))
    probed.readiness.worker_ended(2, -9)
    assert probed.readiness.unhealthy() is None


def test_a_worker_that_says_nothing_for_too_long_is_unhealthy() -> None:
    """Whether it has ever said anything; one that has ended need not."""
    probed = Probed()
    probed.workers[0].state(state())
    probed.clock.advance(STUCK_SECONDS - 1)
    probed.workers[0].state(state())
    assert probed.readiness.unhealthy() is None
    probed.clock.advance(1)
    assert probed.readiness.unhealthy() == SILENT
    probed.readiness.worker_ended(2, 1)
    assert probed.readiness.unhealthy() is None
