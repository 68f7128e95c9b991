"""The end of a run: by an empty queue, by a stop, or because the time is over."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import (
    handles,
    new_engine,
    new_message,
    receive,
    settle,
    settled,
    write,
)
from vault_etl.records.messages import Outcome


def test_an_engine_that_has_done_nothing_is_not_finished() -> None:
    """A new engine does not know whether the queue is empty."""
    assert not new_engine().is_finished


def test_the_queue_looks_empty_after_two_empty_polls_by_every_receiver() -> None:
    """The polls are consecutive: a message or an error resets the count of its receiver."""
    engine = new_engine(receivers=2, linger=0)
    for receiver in (0, 0, 1):
        receive(engine, 0, receiver=receiver)
        assert not engine.looks_empty
    receive(engine, 0, receiver=1)
    assert engine.looks_empty
    engine.receive_failed(1, engine.grant())
    assert not engine.looks_empty
    receive(engine, 0, receiver=1)
    receive(engine, 1, receiver=1)
    write(engine, 0)
    settle(engine)
    receive(engine, 0, receiver=1)
    assert not engine.looks_empty
    receive(engine, 0, receiver=1)
    assert engine.looks_empty


def test_the_queue_does_not_look_empty_while_a_message_is_held() -> None:
    """The held message may have to be given back."""
    engine = new_engine(linger=0)
    receive(engine, 1)
    receive(engine, 0)
    receive(engine, 0)
    assert not engine.looks_empty
    write(engine, 0)
    assert not engine.looks_empty
    settle(engine)
    assert engine.looks_empty


def test_every_receiver_polls_once_more_when_the_queue_reports_more() -> None:
    """The queue's counts are read again after that."""
    engine = new_engine()
    receive(engine, 0)
    receive(engine, 0)
    engine.polls.queue_reported_more()
    assert not engine.looks_empty
    receive(engine, 0)
    assert engine.looks_empty


def test_an_empty_queue_ends_the_run_when_the_last_call_has_returned() -> None:
    """Nothing more is granted, and receives under way are waited for."""
    engine = new_engine(receivers=2)
    granted = engine.grant()
    engine.finish()
    assert engine.grant() == 0
    assert not engine.is_finished
    engine.received(0, granted, [], 0)
    assert engine.is_finished


def test_a_message_of_a_late_receive_resumes_the_run() -> None:
    """A receive under way brought the message: it is written, and the queue is polled again."""
    engine = new_engine(linger=0)
    granted = engine.grant()
    engine.finish()
    engine.received(0, granted, [new_message()], 0)
    assert engine.grant() == 10
    write(engine, 0)
    settle(engine)
    assert not engine.is_finished
    engine.receive_failed(0, 10)
    assert not engine.is_finished


def test_enough_messages_end_the_run_when_they_are_settled() -> None:
    """The run does not end when they are received."""
    engine = new_engine(max_messages=3)
    receive(engine)
    assert not engine.is_finished
    write(engine, 0)
    assert not engine.is_finished
    settle(engine)
    assert engine.is_finished


def test_messages_received_after_the_stop_are_given_back_at_once() -> None:
    """They are not written, and not left hidden from other receivers."""
    engine = new_engine(linger=0)
    receive(engine, 2)
    granted = engine.grant()
    engine.stop()
    assert engine.grant() == 0
    late = [new_message() for _ in range(3)]
    engine.received(0, granted, late, 0)
    assert len(write(engine, 0)) == 2
    _, given_back = settle(engine)
    assert given_back == handles(late)
    assert engine.is_finished
    assert (engine.tally.stored, engine.tally.given_back) == (2, 3)


@pytest.mark.parametrize("give_back", [True, False])
def test_a_stop_that_cannot_write_gives_back(give_back: bool) -> None:
    """The buffer is given back at once, the batch in hand when its write has failed."""
    engine = new_engine(linger=0)
    receive(engine, 4)
    batch = engine.next_batch(0)
    granted = engine.grant()
    engine.received(0, granted, [new_message()], 0)
    engine.stop(give_back=give_back)
    assert len(engine.next_to_give_back()) == give_back
    engine.written(batch, [Outcome.STORED, *[Outcome.RETRY] * 3], 0)
    given_back = [*engine.next_to_give_back()]
    assert set(handles(batch)[1:]) <= set(given_back)
    assert len(given_back) == 4 - give_back
    assert engine.next_batch(99) == []


def test_a_stop_while_nothing_can_be_written_gives_back_at_once() -> None:
    """The database is unavailable, and the run does not wait for it."""
    engine = new_engine(linger=0)
    came = receive(engine, 4)
    write(engine, 0, Outcome.RETRY, retry_after=30)
    engine.stop()
    assert engine.next_to_give_back() == handles(came)
    engine.given_back(handles(came))
    assert engine.is_finished
    assert engine.tally.given_back == 4


def test_at_the_end_of_the_time_uncommitted_messages_are_given_back() -> None:
    """A commit that is reported too late changes nothing: the message was given back, and comes again."""
    engine = new_engine(batch_size=10, linger=0)
    receive(engine, 10)
    write(engine, 0)
    receive(engine, 10)
    writing = engine.next_batch(0)
    buffered = receive(engine, 5)
    engine.abandon()
    deleted, given_back = settle(engine)
    assert len(deleted) == 10
    assert sorted(given_back) == sorted(handles(writing) + handles(buffered))
    assert engine.held == 0
    engine.written(writing, [Outcome.STORED] * 10, 0)
    assert engine.next_deletes(0) == []
    assert (engine.tally.stored, engine.tally.given_back) == (10, 15)
    assert settled(engine) == engine.tally.received


def test_handles_to_give_back_are_returned_by_tens_and_once() -> None:
    """Several callers get different handles."""
    engine = new_engine()
    receive(engine)
    receive(engine)
    engine.stop(give_back=True)
    calls = [engine.next_to_give_back() for _ in range(3)]
    assert [len(call) for call in calls] == [10, 10, 0]
    assert engine.held > 0
    for call in calls:
        engine.given_back(call)
    assert engine.held == 0
    assert engine.tally.given_back == 20
