"""Holding: extended at half of the time, the most urgent first, and never beyond twelve hours."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import VISIBILITY_S, handles, new_engine, new_message, receive
from vault_etl.ingest.engine.held import MAX_HOLD, HeldMessages
from vault_etl.records.messages import Outcome


def holding(*times: float) -> tuple[HeldMessages, list[str]]:
    """Messages received at these times, and their handles."""
    held = HeldMessages(VISIBILITY_S)
    messages = [new_message() for _ in times]
    for message, now in zip(messages, times, strict=True):
        held.add(message, now)
    return held, handles(messages)


def test_a_message_is_extended_when_half_of_its_time_is_over() -> None:
    """By the queue's own visibility, so that one extension that fails leaves time for another."""
    held, (handle,) = holding(100)
    assert held.due(114.9, 10) == {}
    assert held.due(115, 10) == {handle: 30}


def test_the_one_that_is_seen_again_first_is_extended_first() -> None:
    """And one that was extended goes to the end."""
    held, (first, second, third) = holding(0, 1, 2)
    assert list(held.due(17, 2)) == [first, second]
    held.extended({first: 30, second: 30}, 17)
    assert list(held.due(17, 10)) == [third]
    held.extended({third: 30}, 17)
    assert list(held.due(32, 10)) == [first, second, third]


def test_what_is_being_extended_is_not_given_out_twice() -> None:
    """To several heartbeats; after a failure it is due still."""
    held, (first, second) = holding(0, 0)
    assert list(held.due(15, 1)) == [first]
    assert list(held.due(15, 10)) == [second]
    held.not_extended([first])
    assert list(held.due(15, 10)) == [first]


def test_one_call_extends_ten_at_most() -> None:
    """SQS's own limit."""
    engine = new_engine()
    receive(engine)
    receive(engine)
    assert [len(engine.next_extensions(15)) for _ in range(3)] == [10, 10, 0]


def test_a_handle_that_is_stale_is_not_extended() -> None:
    """It hides nothing; and it does not stand in the way of the others."""
    held, (_, second) = holding(0, 10)
    assert list(held.due(30, 10)) == [second]


def test_what_waits_to_be_written_is_extended_and_so_is_what_is_being_written() -> None:
    """An outage of the database may take long, and so may a commit."""
    engine = new_engine(linger=0)
    writing = handles(receive(engine, 2))
    engine.next_batch(0)
    buffered = handles(receive(engine, 2))
    assert list(engine.next_extensions(15)) == writing + buffered


def test_what_is_being_given_back_is_not_extended() -> None:
    """It is for others."""
    engine = new_engine()
    receive(engine, 2)
    engine.stop(give_back=True)
    assert engine.next_extensions(20) == {}


def test_an_extension_that_comes_back_for_a_message_that_is_gone_changes_nothing() -> None:
    """It was deleted while the call was under way."""
    engine = new_engine()
    engine.extended({"gone": 30}, ["gone"], 0)
    engine.extend_failed(["gone"])
    assert engine.held == 0


@pytest.mark.parametrize("visibility", [7.0, 30.0, 3_600.0, 43_200.0])
def test_nothing_is_held_beyond_twelve_hours(visibility: float) -> None:
    """The sum of all extensions stays within what SQS allows; then the message is given back."""
    engine = new_engine(visibility=visibility, linger=0)
    began = 1_000.3
    (message,) = receive(engine, 1, now=began)
    now, seen_again = began, began + visibility
    while not engine.next_returns():
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
    engine.returned([message.receipt_handle])
    assert engine.tally.given_back == 1


def test_the_last_extension_is_not_asked_for_again_and_again() -> None:
    """Cut to whole seconds, it would be due again at once, if half of the visibility is left by then."""
    engine = new_engine(visibility=30.0, linger=0)
    began = 1_000.3
    receive(engine, 1, now=began)
    now = began
    while not engine.next_returns():
        engine.written(batch := engine.next_batch(now), [Outcome.RETRY] * len(batch), now, 10**6)
        now += 0.25
        if seconds := engine.next_extensions(now):
            engine.extended(seconds, [], now)
        assert engine.next_extensions(now) == {}
        engine.sort_out(now)
    assert now >= began + MAX_HOLD - 15


def test_twelve_hours_are_sqs_s_own() -> None:
    """From its receive, however often it is extended."""
    assert MAX_HOLD == 12 * 60 * 60
