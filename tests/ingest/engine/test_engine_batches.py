"""The time at which a batch closes, its content, and the messages that are tried again."""

from __future__ import annotations

from tests.ingest.engine.engines import handles, new_engine, receive, settle, write
from vault_etl.records.messages import Outcome


def test_a_batch_closes_by_its_size() -> None:
    """A batch has at most `batch_size` messages; the rest waits for the next batch."""
    engine = new_engine(batch_size=15, linger=60)
    came = handles(receive(engine))
    assert engine.next_batch(0) == []
    came += handles(receive(engine))
    assert handles(engine.next_batch(0)) == came[:15]
    assert engine.next_batch(59.9) == []


def test_a_batch_closes_by_its_bytes() -> None:
    """A message that does not fit is the first of the next batch."""
    engine = new_engine(batch_bytes=1_000, linger=60)
    receive(engine, 2, size=400)
    assert engine.next_batch(0) == []
    receive(engine, 2, size=400)
    assert len(engine.next_batch(0)) == 2
    assert engine.next_batch(0) == []


def test_a_message_larger_than_a_batch_is_a_batch_alone() -> None:
    """Otherwise such a message would never be written."""
    engine = new_engine(batch_bytes=1_000, linger=60)
    receive(engine, 1, size=5_000)
    assert len(engine.next_batch(0)) == 1


def test_a_batch_closes_by_its_linger() -> None:
    """The linger counts from the first message in the batch."""
    engine = new_engine(linger=2)
    receive(engine, 1, now=10)
    receive(engine, 1, now=11)
    assert engine.next_batch(11.9) == []
    assert len(engine.next_batch(12)) == 2


def test_the_linger_starts_again_for_messages_that_a_batch_left() -> None:
    """A batch closes full; the messages that did not fit linger from then on."""
    engine = new_engine(batch_size=10, linger=2)
    receive(engine, 10, now=0)
    receive(engine, 5, now=1)
    assert len(engine.next_batch(1)) == 10
    assert engine.next_batch(2.9) == []
    assert len(engine.next_batch(3)) == 5


def test_a_batch_closes_when_nothing_more_can_come() -> None:
    """The maximum is held, or was received: waiting would be useless."""
    for limits in ({"max_held": 10}, {"max_messages": 10}):
        engine = new_engine(linger=60, **limits)
        receive(engine, 5)
        assert engine.next_batch(0) == []
        receive(engine, 5)
        assert len(engine.next_batch(0)) == 10


def test_a_batch_does_not_close_while_a_call_may_bring_the_rest() -> None:
    """All wanted messages are granted, and half of them have come."""
    engine = new_engine(linger=60, max_messages=20, receivers=2)
    granted = engine.grant()
    receive(engine, 10, receiver=1)
    assert engine.next_batch(0) == []
    engine.receive_failed(0, granted)
    assert engine.next_batch(0) == []
    receive(engine, 10)
    assert len(engine.next_batch(0)) == 20


def test_a_stop_closes_a_batch() -> None:
    """Buffered messages are written, not given back."""
    engine = new_engine(linger=60)
    receive(engine, 5)
    engine.stop()
    assert len(write(engine, 0)) == 5
    deleted, given_back = settle(engine)
    assert (len(deleted), given_back) == (5, [])
    assert engine.is_finished


def test_outcomes_are_counted_one_by_one() -> None:
    """Each message has its own outcome."""
    engine = new_engine(linger=0)
    receive(engine, 4)
    batch = engine.next_batch(0)
    outcomes = [outcome for outcome in Outcome if outcome is not Outcome.RETRY]
    engine.written(batch, outcomes, 0)
    tally = engine.tally
    assert (tally.stored, tally.duplicates) == (1, 1)
    assert (tally.quarantined, tally.already_quarantined) == (1, 1)
    assert sorted(engine.next_deletes(0)) == sorted(handles(batch))


def test_messages_to_retry_are_first_and_in_order() -> None:
    """They come before messages received meanwhile, and none of them is deleted."""
    engine = new_engine(linger=0)
    first = receive(engine, 10)
    granted = engine.grant()
    batch = engine.next_batch(0)
    late = receive(engine, 3, receiver=0)
    engine.receive_failed(0, granted)
    engine.written(batch, [Outcome.STORED] * 4 + [Outcome.RETRY] * 6, 0, 2)
    assert sorted(engine.next_deletes(0)) == sorted(handles(first[:4]))
    assert engine.next_batch(1.9) == []
    assert handles(engine.next_batch(2)) == handles(first[4:]) + handles(late)


def test_a_batch_that_is_tried_again_needs_no_linger() -> None:
    """Its messages have waited long enough, however few they are."""
    engine = new_engine(linger=60, max_messages=10)
    receive(engine, 10)
    write(engine, 0, Outcome.RETRY, retry_after=1)
    assert len(engine.next_batch(1)) == 10


def test_a_message_that_other_receivers_may_have_is_not_written() -> None:
    """A stale message is dropped as given back, and the rest is written."""
    engine = new_engine(linger=0)
    stale = receive(engine, 2, now=0)
    good = receive(engine, 2, now=20)
    assert handles(engine.next_batch(30)) == handles(good)
    assert engine.tally.given_back == len(stale)
    assert engine.held == 2


def test_a_message_that_the_queue_calls_stale_is_not_written() -> None:
    """Another receiver has the message, even if it is not stale by our clock."""
    engine = new_engine(linger=0)
    came = receive(engine, 3)
    seconds = engine.next_extensions(15)
    engine.extended(seconds, [came[1].receipt_handle], 15)
    assert handles(engine.next_batch(15)) == handles([came[0], came[2]])
    assert engine.tally.given_back == 1


def test_a_message_that_goes_stale_while_it_is_written_is_settled_by_its_commit() -> None:
    """The message is stored. A late deletion lets it come again, as a duplicate."""
    engine = new_engine(linger=0)
    (message,) = receive(engine, 1)
    batch = engine.next_batch(0)
    engine.sort_out(31)
    engine.written(batch, [Outcome.STORED], 31)
    assert engine.next_deletes(0) == [message.receipt_handle]
    assert (engine.tally.stored, engine.tally.given_back) == (1, 0)
