"""The queue's fake, in what the contract suite cannot ask of an emulator: there AWS's documentation decides."""

from __future__ import annotations

import pytest

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.queue import MAX_VISIBILITY, FakeQueue, Redrive
from vault_etl.records.messages import Message

VISIBILITY_S = 60


@pytest.fixture
def clock() -> FakeClock:
    """The queue's clock."""
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> FakeQueue:
    """An empty queue."""
    return FakeQueue(clock, VISIBILITY_S)


def receive(queue: FakeQueue) -> Message:
    """The one message that comes."""
    (message,) = queue.receive(0)
    return message


def test_an_older_handle_deletes_nothing(queue: FakeQueue, clock: FakeClock) -> None:
    """An older handle deletes nothing once its message was received again; no error says so. The emulators delete."""
    queue.send("body")
    older = receive(queue)
    clock.advance(VISIBILITY_S)
    receive(queue)
    assert list(queue.delete([older.receipt_handle])) == []
    assert queue.message_ids == [older.message_id]
    assert queue.deleted == []


def test_an_older_handle_does_not_extend(queue: FakeQueue, clock: FakeClock) -> None:
    """The older handle has gone stale, and the time of the newer handle stays as it was. moto extends."""
    queue.send("body")
    older = receive(queue)
    clock.advance(VISIBILITY_S)
    receive(queue)
    assert list(queue.extend({older.receipt_handle: 600})) == [older.receipt_handle]
    assert queue.hidden_for() == [VISIBILITY_S]


def test_a_handle_whose_time_is_over_does_not_extend(queue: FakeQueue, clock: FakeClock) -> None:
    """MessageNotInflight, though no caller has received the message since. moto extends. Deleting still works."""
    queue.send("body")
    handle = receive(queue).receipt_handle
    clock.advance(VISIBILITY_S)
    assert list(queue.extend({handle: 600})) == [handle]
    assert list(queue.delete([handle])) == []
    assert queue.message_ids == []


def test_no_message_is_hidden_for_more_than_twelve_hours(
    queue: FakeQueue, clock: FakeClock
) -> None:
    """Twelve hours count from the receive, all extensions together. moto counts from the time of sending."""
    clock.advance(1_000)
    queue.send("body")
    clock.advance(1_000)
    handle = receive(queue).receipt_handle
    clock.advance(10)
    assert list(queue.extend({handle: MAX_VISIBILITY - 10})) == []
    assert list(queue.extend({handle: MAX_VISIBILITY - 9})) == [handle]
    assert queue.hidden_for() == [MAX_VISIBILITY - 10]


def test_a_message_received_too_often_goes_to_the_dead_letters(clock: FakeClock) -> None:
    """A message moves with its id, its body and its time; at the receive after the last, not before."""
    dead = FakeQueue(clock, VISIBILITY_S)
    queue = FakeQueue(clock, VISIBILITY_S, redrive=Redrive(3, dead))
    queue.send("body")
    received = []
    for _ in range(3):
        received.append(receive(queue))
        clock.advance(VISIBILITY_S)
    assert queue.message_ids == [received[0].message_id]
    assert list(queue.receive(0)) == []
    assert queue.message_ids == []
    letter = receive(dead)
    assert letter.body.expose() == b"body"
    for message in received:
        assert (letter.message_id, letter.sent_ms) == (message.message_id, message.sent_ms)
    dead.delete([letter.receipt_handle])
    assert dead.message_ids == []
