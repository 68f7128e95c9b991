"""The end of a run of ingest, and the messages that it leaves to other receivers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ingest.runs import counts, send
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Recorder, Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.steps import Bounds
from vault_etl.records.messages import Message


def test_a_drain_ends_after_two_empty_polls_of_an_empty_queue(fake_vault: FakeVault) -> None:
    """Two consecutive long polls bring nothing; then the queue's counts are read."""
    recorder = Recorder()
    seen = fake_vault.tapped(recorder.tap)
    seen.drain(wait=3)
    assert [call for call in recorder.calls if call in {"receive", "depth"}] == [
        "receive",
        "depth",  # the first one is for the gauges
        "receive",
        "depth",
        "depth",  # the last one is for the summary
    ]
    assert 6 <= fake_vault.clock.monotonic() < 7


@pytest.mark.parametrize("seconds", [2, 15, 40])
def test_a_drain_waits_for_delayed_messages(fake_vault: FakeVault, seconds: float) -> None:
    """Two empty polls are not enough while the queue counts delayed messages."""
    fake_vault.queue.send(login_event(), delay=seconds)
    assert fake_vault.drain(wait=1).stored == 1


def test_a_drain_continues_while_the_queue_counts_visible_messages(
    fake_vault: FakeVault,
) -> None:
    """SQS may answer an empty receive from servers that have none of the messages."""
    send(fake_vault, 1)
    empty_answers = iter(range(5))

    def sampled(name: str, call: Callable[[], Any]) -> object:
        return [] if name == "receive" and next(empty_answers, None) is not None else call()

    sampling = fake_vault.tapped(lambda part: Tap(part, sampled))
    assert sampling.drain().stored == 1


def test_a_drain_does_not_wait_for_messages_of_other_receivers(fake_vault: FakeVault) -> None:
    """The summary counts them, and the run ends."""
    send(fake_vault, 3)
    fake_vault.queue.receive(0, 2)
    assert counts(fake_vault.drain()) == {
        "received": 1,
        "stored": 1,
        "deleted": 1,
        "left_in_flight": 2,
    }


def test_a_drain_may_wait_for_messages_of_other_receivers(fake_vault: FakeVault) -> None:
    """The other receivers may crash; then this run loads the messages."""
    send(fake_vault, 3)
    fake_vault.queue.receive(0, 2)
    summary = fake_vault.drain(bounds=Bounds(wait_in_flight=True))
    assert counts(summary) == {"received": 3, "stored": 3, "deleted": 3}
    assert fake_vault.clock.monotonic() > fake_vault.queue.visibility_timeout()


def test_a_drain_by_several_receivers_ends_when_each_of_them_found_nothing(
    fake_vault: FakeVault,
) -> None:
    """Each receiver takes two long polls."""
    recorder = Recorder()
    fake_vault.tapped(recorder.tap).drain(receivers=3)
    assert recorder.calls.count("receive") == 6


def test_a_receiver_of_a_drain_rests_after_two_empty_polls_unless_another_one_finds_messages(
    fake_vault: FakeVault,
) -> None:
    """One more long poll would only delay the end; a message of another receiver says that more may come."""
    recorder = Recorder()
    steps = fake_vault.tapped(recorder.tap).steps(receivers=2)
    for _ in range(3):
        steps.receive(0, 0)
        steps.receive(1, 0)
    assert recorder.calls.count("receive") == 4

    recorder = Recorder()
    steps = fake_vault.tapped(recorder.tap).steps(receivers=2)
    for _ in range(2):
        steps.receive(0, 0)
    send(fake_vault, 1)
    assert steps.receive(1, 0)
    steps.receive(0, 0)
    assert recorder.calls.count("receive") == 4


def test_following_continues_when_the_queue_is_empty(fake_vault: FakeVault) -> None:
    """The run loads late messages until a stop."""
    ingest = fake_vault.ingest(bounds=Bounds(follow=True))
    for _ in range(50):
        ingest.round()
    assert not ingest.steps.engine.is_finished
    send(fake_vault, 3)
    for _ in range(5):
        ingest.round()
    assert len(fake_vault.database.records) == 3
    stop = threading.Event()
    stop.set()
    assert counts(ingest.run(stop)) == {"received": 3, "stored": 3, "deleted": 3}


def test_an_empty_poll_between_messages_starts_the_count_again(fake_vault: FakeVault) -> None:
    """The two empty polls must be consecutive."""
    answers: Iterator[list[Message] | None] = iter([[], None, [], []])
    send(fake_vault, 1)

    def now_and_then(name: str, call: Callable[[], Any]) -> object:
        answer = next(answers, None) if name == "receive" else None
        return call() if answer is None else answer

    recorder = Recorder()
    seen = fake_vault.tapped(lambda part: recorder.tap(Tap(part, now_and_then)))
    assert seen.drain().stored == 1
    # nothing, the event, two empty polls
    assert recorder.calls.count("receive") == 4


def test_stop_writes_the_buffered_messages(fake_vault: FakeVault) -> None:
    """Received messages are written and deleted, batch after batch; the rest stays for other receivers."""
    send(fake_vault, 60)
    stop = threading.Event()

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "load":
            stop.set()
        return call()

    seen = fake_vault.tapped(lambda part: Tap(part, stopping))
    summary = seen.drain(stop, receivers=3, batch_size=7)
    assert counts(summary) == {"received": 30, "stored": 30, "deleted": 30}
    assert fake_vault.queue.depth() == QueueDepth(visible=30, in_flight=0, delayed=0)


def test_stop_closes_a_batch_that_lingers(fake_vault: FakeVault) -> None:
    """The batch is not filled first, and its linger is not waited for."""
    send(fake_vault, 30)
    stop = threading.Event()

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "receive":
            stop.set()
        return call()

    seen = fake_vault.tapped(lambda part: Tap(part, stopping))
    summary = seen.drain(stop, linger=3_600)
    assert counts(summary) == {"received": 10, "stored": 10, "deleted": 10}
    assert fake_vault.clock.monotonic() < 1


def test_stop_in_an_outage_gives_back(fake_vault: FakeVault) -> None:
    """Messages that cannot be written now are soon visible to other receivers."""
    send(fake_vault, 10)
    fake_vault.kms.down = True
    stop = threading.Event()
    ingest = fake_vault.ingest(patience=PATIENT)
    for _ in range(100):
        ingest.round()
    stop.set()
    assert counts(ingest.run(stop)) == {"received": 10, "given_back": 10, "left_in_flight": 10}
    assert all(5 <= seconds <= 30 for seconds in fake_vault.queue.hidden_for())


def test_stop_before_the_start_receives_nothing(fake_vault: FakeVault) -> None:
    """No message is hidden from other receivers."""
    send(fake_vault, 1)
    stop = threading.Event()
    stop.set()
    assert counts(fake_vault.drain(stop)) == {}
