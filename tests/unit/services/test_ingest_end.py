"""When a run of ingest ends, and what it leaves for others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.login_events import login_event
from tests.fakes.tap import Recorder, Tap
from tests.fakes.vault import FakeVault
from tests.unit.services.runs import counts, send
from vault_etl.core.messages import Message


def test_a_drain_ends_after_two_empty_polls_when_nothing_waits(vault: FakeVault) -> None:
    """Two long polls in a row that bring nothing, and then the queue's own word."""
    recorder = Recorder()
    seen = vault.tapped(recorder.tap)
    seen.drain(wait=3)
    assert [call for call in recorder.calls if call in {"receive", "depth"}] == [
        "receive",
        "receive",
        "depth",
        "depth",  # the last one is for the summary
    ]
    assert vault.clock.monotonic() == 6


@pytest.mark.parametrize("seconds", [2, 15, 40])
def test_a_drain_waits_for_what_is_delayed(vault: FakeVault, seconds: float) -> None:
    """Two empty polls are not enough while the queue says that more will come."""
    vault.queue.send(login_event(), delay=seconds)
    assert vault.drain(wait=1).stored == 1


def test_a_drain_goes_on_while_the_queue_says_that_something_is_visible(vault: FakeVault) -> None:
    """SQS may answer an empty receive from servers that have none of the messages."""
    send(vault, 1)
    empty_answers = iter(range(5))

    def sampled(name: str, call: Callable[[], Any]) -> object:
        return [] if name == "receive" and next(empty_answers, None) is not None else call()

    sampling = vault.tapped(lambda part: Tap(part, sampled))
    assert sampling.drain().stored == 1


def test_a_drain_does_not_wait_for_what_others_hold(vault: FakeVault) -> None:
    """It tells of them, and ends."""
    send(vault, 3)
    vault.queue.receive(0, 2)
    assert counts(vault.drain()) == {
        "received": 1,
        "stored": 1,
        "deleted": 1,
        "left_in_flight": 2,
    }


def test_an_empty_poll_between_messages_starts_the_count_again(vault: FakeVault) -> None:
    """The two empty polls have to stand in a row."""
    answers: Iterator[list[Message] | None] = iter([[], None, [], []])
    send(vault, 1)

    def now_and_then(name: str, call: Callable[[], Any]) -> object:
        answer = next(answers, None) if name == "receive" else None
        return call() if answer is None else answer

    recorder = Recorder()
    seen = vault.tapped(lambda part: recorder.tap(Tap(part, now_and_then)))
    assert seen.drain().stored == 1
    # nothing, the event, nothing (the batch closes), two empty polls
    assert recorder.calls.count("receive") == 5


def test_stop_ends_the_run_between_batches(vault: FakeVault) -> None:
    """What was received is written and deleted; what was not stays for others."""
    send(vault, 30)
    stop = threading.Event()

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "load":
            stop.set()
        return call()

    seen = vault.tapped(lambda part: Tap(part, stopping))
    summary = seen.drain(stop, batch_size=10)
    assert counts(summary) == {"received": 10, "stored": 10, "deleted": 10}
    assert vault.queue.depth().visible == 20


def test_stop_in_the_middle_of_a_batch_closes_it(vault: FakeVault) -> None:
    """It is not filled up first."""
    send(vault, 30)
    stop = threading.Event()

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "receive":
            stop.set()
        return call()

    summary = vault.tapped(lambda part: Tap(part, stopping)).drain(stop)
    assert counts(summary) == {"received": 10, "stored": 10, "deleted": 10}


def test_stop_before_the_start_receives_nothing(vault: FakeVault) -> None:
    """Nothing is hidden from others."""
    send(vault, 1)
    stop = threading.Event()
    stop.set()
    assert counts(vault.drain(stop)) == {}
