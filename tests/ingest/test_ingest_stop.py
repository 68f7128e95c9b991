"""SIGTERM: begun work is committed, deleted or given back in time; a second SIGTERM does not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ingest.runs import send
from tests.ingest.threads import PATIENCE_S, Process
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.queue import FakeQueue
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.switch import Switch
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from tests.kit.waiting import until
from vault_etl.base.errors import IncompleteError
from vault_etl.ingest.run import URGENT_S
from vault_etl.ingest.steps import Bounds

FOLLOW = Bounds(follow=True)
LONGEST_GIFT_S = 30
"""What is given back is seen again within this time."""
HIDDEN_S = 3_600
"""What is stranded is not."""


class Gate:
    """Blocks calls of one name until it is opened; knows whether a call waits."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.waiting = threading.Event()
        self.opened = threading.Event()

    def tap(self, target: object) -> Any:  # noqa: ANN401 - stands for any port
        """Return `target`, behind the gate."""
        return Tap(target, self._around)

    def _around(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        if name == self._name:
            self.waiting.set()
            self.opened.wait(PATIENCE_S)
        return call()


def new_vault(speed: float) -> FakeVault:
    """Return a vault whose queue hides received messages for an hour."""
    vault = FakeVault(RunningClock(speed))
    vault.use_queue(FakeQueue(vault.clock, HIDDEN_S))
    return vault


@pytest.fixture
def hung() -> Iterator[Gate]:
    """A database that never answers until the end of the test."""
    gate = Gate("load")
    yield gate
    gate.opened.set()


def nothing_is_stranded(vault: FakeVault) -> bool:
    """Tell whether all remaining messages are visible soon."""
    return max(vault.queue.hidden_for(), default=0) <= LONGEST_GIFT_S


def test_messages_of_the_last_long_poll_are_given_back() -> None:
    """spring-cloud-aws and others left them hidden until the end of their visibility timeout."""
    vault = new_vault(50)
    gate = Gate("receive")
    ingest = vault.tapped(gate.tap).threads(wait=20, bounds=FOLLOW)
    process = Process(ingest)
    gate.waiting.wait(PATIENCE_S)
    process.signals.first.set()
    until(lambda: ingest._steps.engine.stopping)
    send(vault, 7)
    gate.opened.set()
    summary = process.end()
    assert (summary.received, summary.given_back, summary.stored) == (7, 7, 0)
    assert len(vault.queue.message_ids) == 7
    assert nothing_is_stranded(vault)


def test_a_stop_writes_and_deletes_the_buffered_messages() -> None:
    """The stop does not wait for the linger, and no acknowledgement is lost."""
    vault = new_vault(50)
    send(vault, 35)
    ingest = vault.threads(receivers=2, bounds=FOLLOW, linger=100_000)
    process = Process(ingest)
    until(lambda: ingest._steps.engine.held == 35)
    process.signals.first.set()
    summary = process.end()
    assert (summary.received, summary.stored, summary.deleted) == (35, 35, 35)
    assert vault.queue.message_ids == []


def test_a_stop_in_an_outage_gives_back_at_once() -> None:
    """The run does not wait for the database."""
    vault = new_vault(20)
    send(vault, 20)
    switch = Switch("load")
    switch.off()
    ingest = vault.tapped(switch.tap).threads(patience=PATIENT, bounds=FOLLOW)
    process = Process(ingest)
    until(lambda: ingest._steps.engine.writes_fail)
    began = vault.clock.monotonic()
    process.signals.first.set()
    summary = process.end()
    assert summary.received == summary.given_back > 0
    assert nothing_is_stranded(vault)
    assert vault.clock.monotonic() - began < 10


def test_a_stop_waits_for_the_batch_being_written() -> None:
    """The commit is recorded, and its messages are deleted, not loaded again by other processes."""
    vault = new_vault(20)
    send(vault, 10)
    gate = Gate("load")
    process = Process(vault.tapped(gate.tap).threads(bounds=FOLLOW))
    gate.waiting.wait(PATIENCE_S)
    process.signals.first.set()
    vault.clock.advance(10)
    gate.opened.set()
    summary = process.end()
    assert (summary.stored, summary.deleted) == (10, 10)


def test_a_write_that_hangs_does_not_hold_up_the_end(hung: Gate) -> None:
    """Uncommitted messages are given back in time, and the error says so."""
    vault = new_vault(20)
    send(vault, 25)
    seen = vault.tapped(hung.tap)
    running = seen.threads(receivers=2, bounds=FOLLOW, batch_size=10, stop_within=28)
    process = Process(running)
    hung.waiting.wait(PATIENCE_S)
    until(lambda: running._steps.engine.held == 25)
    began = vault.clock.monotonic()
    process.signals.first.set()
    with pytest.raises(IncompleteError, match="too short") as caught:
        process.end()
    assert "nothing is lost" in (caught.value.hint or "")
    assert 24 < vault.clock.monotonic() - began < 29
    assert running.summary().given_back == 25
    assert nothing_is_stranded(vault)


def test_a_commit_after_the_end_loses_no_message(hung: Gate) -> None:
    """The messages were given back, and come again as duplicates."""
    vault = new_vault(50)
    send(vault, 10)
    process = Process(vault.tapped(hung.tap).threads(bounds=FOLLOW, stop_within=10))
    hung.waiting.wait(PATIENCE_S)
    process.signals.first.set()
    with pytest.raises(IncompleteError):
        process.end()
    hung.opened.set()
    until(lambda: len(vault.database.records) == 10)
    summary = Process(vault.threads(bounds=Bounds(wait_in_flight=True))).end()
    assert (summary.received, summary.duplicates, summary.deleted) == (10, 10, 10)


def test_a_second_signal_ends_at_once(hung: Gate) -> None:
    """In real seconds: messages not given back in two stay hidden until their timeout, and none is lost."""
    vault = new_vault(1)
    send(vault, 25)
    ingest = vault.tapped(hung.tap).threads(receivers=3, bounds=FOLLOW, batch_size=10)
    process = Process(ingest)
    hung.waiting.wait(PATIENCE_S)
    until(lambda: ingest._steps.engine.held == 25)
    process.signals.first.set()
    until(lambda: ingest._steps.engine.stopping)
    began = time.monotonic()
    process.signals.second.set()
    with pytest.raises(KeyboardInterrupt):
        process.end()
    assert time.monotonic() - began < URGENT_S + 0.5
    assert len(vault.queue.message_ids) == 25
    assert nothing_is_stranded(vault)


def test_a_second_signal_waits_two_seconds_for_a_queue_that_hangs(hung: Gate) -> None:
    """Messages that were not given back come again after their visibility timeout."""
    vault = new_vault(1)
    send(vault, 10)
    giving_back = Gate("extend")
    both = vault.tapped(hung.tap).tapped(giving_back.tap)
    process = Process(both.threads(bounds=FOLLOW, batch_size=10))
    hung.waiting.wait(PATIENCE_S)
    process.signals.first.set()
    process.signals.second.set()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        process.end()
    assert giving_back.waiting.is_set()
    assert time.monotonic() - began < URGENT_S + 0.5
    giving_back.opened.set()


def test_a_second_signal_does_not_read_the_queue_counts() -> None:
    """The queue may be the part that hangs."""
    vault = new_vault(1)
    gate = Gate("receive")
    asked: list[str] = []

    def seen(name: str, call: Callable[[], Any]) -> object:
        asked.append(name)
        return call()

    both = vault.tapped(gate.tap).tapped(lambda part: Tap(part, seen))
    process = Process(both.threads(bounds=FOLLOW))
    gate.waiting.wait(PATIENCE_S)
    until(lambda: "depth" in asked)
    asked.clear()
    process.signals.first.set()
    process.signals.second.set()
    with pytest.raises(KeyboardInterrupt):
        process.end()
    gate.opened.set()
    assert "depth" not in asked


def test_a_queue_that_hangs_does_not_hold_up_the_end() -> None:
    """A long poll gets no answer: the run ends in time, and reports that the result is incomplete."""
    vault = new_vault(50)
    send(vault, 1)
    gate = Gate("receive")
    process = Process(vault.tapped(gate.tap).threads(bounds=FOLLOW, stop_within=10))
    gate.waiting.wait(PATIENCE_S)
    began = vault.clock.monotonic()
    process.signals.first.set()
    with pytest.raises(IncompleteError):
        process.end()
    assert vault.clock.monotonic() - began < 12
    gate.opened.set()


def test_readiness_ends_with_the_first_signal() -> None:
    """A process that is about to end gets no traffic."""
    vault = new_vault(50)
    vault.queue.send(login_event())
    process = Process(vault.threads(bounds=FOLLOW))
    until(lambda: len(vault.database.records) == 1)
    until(lambda: vault.observer.states[-1].ready)
    process.signals.first.set()
    process.end()
    assert not vault.observer.states[-1].ready
