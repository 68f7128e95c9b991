"""Held messages: extended at half of their time, the most urgent first, and never beyond twelve hours."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import VISIBILITY_S, handles, new_engine, new_message, receive
from vault_etl.ingest.engine.held import MAX_HOLD, HeldMessages
from vault_etl.records.messages import Outcome


def holding(*times: float) -> tuple[HeldMessages, list[str]]:
    """Return messages received at these times, and their handles."""
    held = HeldMessages(VISIBILITY_S)
    messages = [new_message() for _ in times]
    for message, now in zip(messages, times, strict=True):
        held.add(message, now)
    return held, handles(messages)


def test_a_message_is_extended_when_half_of_its_time_is_over() -> None:
    """Half of the queue's visibility timeout is left, so that a failed extension can be tried again."""
    held, (handle,) = holding(100)
    assert held.due(114.9, 10) == {}
    assert held.due(115, 10) == {handle: 30}


def test_the_message_that_is_visible_first_is_extended_first() -> None:
    """An extended message goes to the end of the order."""
    held, (first, second, third) = holding(0, 1, 2)
    assert list(held.due(17, 2)) == [first, second]
    held.extended({first: 30, second: 30}, 17)
    assert list(held.due(17, 10)) == [third]
    held.extended({third: 30}, 17)
    assert list(held.due(32, 10)) == [first, second, third]


def test_a_message_that_comes_again_delays_no_other() -> None:
    """It is visible later than those that came after it, so it goes to the end of the order."""
    held = HeldMessages(VISIBILITY_S)
    again, other = new_message(), new_message()
    held.add(again, 0)
    held.add(other, 1)
    assert held.add(again, 10) is None
    assert list(held.due(17, 10)) == [other.receipt_handle]


def test_a_message_being_extended_is_not_returned_twice() -> None:
    """Several heartbeats get different messages; after a failure, a message is still due."""
    held, (first, second) = holding(0, 0)
    assert list(held.due(15, 1)) == [first]
    assert list(held.due(15, 10)) == [second]
    held.not_extended([first])
    assert list(held.due(15, 10)) == [first]


def test_one_call_extends_ten_at_most() -> None:
    """Ten is SQS's own limit."""
    engine = new_engine()
    receive(engine)
    receive(engine)
    assert [len(engine.next_extensions(15)) for _ in range(3)] == [10, 10, 0]


def test_a_stale_handle_is_not_extended() -> None:
    """A stale handle hides no message, and does not delay the other messages."""
    held, (_, second) = holding(0, 10)
    assert list(held.due(30, 10)) == [second]


def test_buffered_messages_and_messages_being_written_are_extended() -> None:
    """An outage of the database may take long, and so may a commit."""
    engine = new_engine(linger=0)
    writing = handles(receive(engine, 2))
    engine.next_batch(0)
    buffered = handles(receive(engine, 2))
    assert list(engine.next_extensions(15)) == writing + buffered


def test_a_message_being_given_back_is_not_extended() -> None:
    """Another receiver will get the message."""
    engine = new_engine()
    receive(engine, 2)
    engine.stop(give_back=True)
    assert engine.next_extensions(20) == {}


def test_an_extension_of_a_deleted_message_changes_nothing() -> None:
    """The message was deleted while the call was under way."""
    engine = new_engine()
    engine.extended({"gone": 30}, ["gone"], 0)
    engine.extend_failed(["gone"])
    assert engine.held == 0


@pytest.mark.parametrize("visibility", [7.0, 30.0, 3_600.0, 43_200.0])
def test_no_message_is_held_beyond_twelve_hours(visibility: float) -> None:
    """All extensions together stay within SQS's limit; then the message is given back."""
    engine = new_engine(visibility=visibility, linger=0)
    began = 1_000.3
    (message,) = receive(engine, 1, now=began)
    now, seen_again = began, began + visibility
    while not engine.next_to_give_back():
        engine.written(batch := engine.next_batch(now), [Outcome.RETRY] * len(batch), now, 10**6)
        now += visibility / 16
        assert now < began + MAX_HOLD
        if seconds := engine.next_extensions(now):
            assert list(seconds) == [message.receipt_handle]
            seen_again = now + seconds[message.receipt_handle]
            assert seen_again <= began + MAX_HOLD
            engine.extended(seconds, [], now)
        assert now < seen_again
        engine.sort_out(now)
    assert now >= began + MAX_HOLD - visibility / 2
    assert engine.tally.given_back == 0
    engine.given_back([message.receipt_handle])
    assert engine.tally.given_back == 1


def test_the_last_extension_is_requested_once() -> None:
    """An extension cut to whole seconds would be due again at once, with half of the visibility left."""
    engine = new_engine(visibility=30.0, linger=0)
    began = 1_000.3
    receive(engine, 1, now=began)
    now = began
    while not engine.next_to_give_back():
        engine.written(batch := engine.next_batch(now), [Outcome.RETRY] * len(batch), now, 10**6)
        now += 0.25
        if seconds := engine.next_extensions(now):
            engine.extended(seconds, [], now)
        assert engine.next_extensions(now) == {}
        engine.sort_out(now)
    assert now >= began + MAX_HOLD - 15


def test_twelve_hours_count_from_the_receive() -> None:
    """Extensions do not move the limit."""
    assert MAX_HOLD == 12 * 60 * 60
