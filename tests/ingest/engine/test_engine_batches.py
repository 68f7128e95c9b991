"""When a batch closes, what is in it, and what becomes of a message that is to be tried again."""

from __future__ import annotations

from tests.ingest.engine.engines import handles, new_engine, receive, settle, write
from vault_etl.records.messages import Outcome


def test_a_batch_closes_by_its_size() -> None:
    """And takes no more than that; the rest waits for its own."""
    engine = new_engine(batch_size=15, linger=60)
    came = handles(receive(engine))
    assert engine.next_batch(0) == []
    came += handles(receive(engine))
    assert handles(engine.next_batch(0)) == came[:15]
    assert engine.next_batch(59.9) == []


def test_a_batch_closes_by_its_bytes() -> None:
    """A message that does not fit any more is the first of the next one."""
    engine = new_engine(batch_bytes=1_000, linger=60)
    receive(engine, 2, size=400)
    assert engine.next_batch(0) == []
    receive(engine, 2, size=400)
    assert len(engine.next_batch(0)) == 2
    assert engine.next_batch(0) == []


def test_a_message_larger_than_a_batch_is_one() -> None:
    """Else it would never be written."""
    engine = new_engine(batch_bytes=1_000, linger=60)
    receive(engine, 1, size=5_000)
    assert len(engine.next_batch(0)) == 1


def test_a_batch_closes_by_its_linger() -> None:
    """Counted from the first message in it."""
    engine = new_engine(linger=2)
    receive(engine, 1, now=10)
    receive(engine, 1, now=11)
    assert engine.next_batch(11.9) == []
    assert len(engine.next_batch(12)) == 2


def test_the_linger_counts_anew_for_what_a_batch_left() -> None:
    """It closes full; what did not fit lingers from then on."""
    engine = new_engine(batch_size=10, linger=2)
    receive(engine, 10, now=0)
    receive(engine, 5, now=1)
    assert len(engine.next_batch(1)) == 10
    assert engine.next_batch(2.9) == []
    assert len(engine.next_batch(3)) == 5


def test_a_batch_closes_when_nothing_more_can_come() -> None:
    """As many are held as may be, or were received as were asked for: waiting would be in vain."""
    for limits in ({"max_held": 10}, {"max_messages": 10}):
        engine = new_engine(linger=60, **limits)
        receive(engine, 5)
        assert engine.next_batch(0) == []
        receive(engine, 5)
        assert len(engine.next_batch(0)) == 10


def test_a_batch_does_not_close_while_a_call_may_bring_the_rest() -> None:
    """All that is wanted is granted, and half of it has come."""
    engine = new_engine(linger=60, max_messages=20, receivers=2)
    granted = engine.grant()
    receive(engine, 10, receiver=1)
    assert engine.next_batch(0) == []
    engine.receive_failed(0, granted)
    assert engine.next_batch(0) == []
    receive(engine, 10)
    assert len(engine.next_batch(0)) == 20


def test_a_batch_closes_when_somebody_says_stop() -> None:
    """What is buffered is written, not given back."""
    engine = new_engine(linger=60)
    receive(engine, 5)
    engine.stop()
    assert len(write(engine, 0)) == 5
    deleted, returned = settle(engine)
    assert (len(deleted), returned) == (5, [])
    assert engine.is_finished


def test_outcomes_are_counted_one_by_one() -> None:
    """Each message has its own."""
    engine = new_engine(linger=0)
    receive(engine, 4)
    batch = engine.next_batch(0)
    outcomes = [outcome for outcome in Outcome if outcome is not Outcome.RETRY]
    engine.written(batch, outcomes, 0)
    tally = engine.tally
    assert (tally.stored, tally.duplicates) == (1, 1)
    assert (tally.quarantined, tally.already_quarantined) == (1, 1)
    assert sorted(engine.next_deletes()) == sorted(handles(batch))


def test_what_is_tried_again_stands_in_front_and_in_order() -> None:
    """Before what came meanwhile; nothing of it is deleted."""
    engine = new_engine(linger=0)
    first = receive(engine, 10)
    granted = engine.grant()
    batch = engine.next_batch(0)
    late = receive(engine, 3, receiver=0)
    engine.receive_failed(0, granted)
    engine.written(batch, [Outcome.STORED] * 4 + [Outcome.RETRY] * 6, 0, 2)
    assert sorted(engine.next_deletes()) == sorted(handles(first[:4]))
    assert engine.next_batch(1.9) == []
    assert handles(engine.next_batch(2)) == handles(first[4:]) + handles(late)


def test_a_batch_that_is_tried_again_needs_no_linger() -> None:
    """It has waited long enough, however few there are."""
    engine = new_engine(linger=60, max_messages=10)
    receive(engine, 10)
    write(engine, 0, Outcome.RETRY, retry_after=1)
    assert len(engine.next_batch(1)) == 10


def test_what_others_may_have_is_not_written() -> None:
    """Its time is over: it is dropped as given back, and the rest is written."""
    engine = new_engine(linger=0)
    stale = receive(engine, 2, now=0)
    good = receive(engine, 2, now=20)
    assert handles(engine.next_batch(30)) == handles(good)
    assert engine.tally.given_back == len(stale)
    assert engine.held == 2


def test_what_the_queue_calls_stale_is_not_written() -> None:
    """Another receive has it, though its time was not over by our clock."""
    engine = new_engine(linger=0)
    came = receive(engine, 3)
    seconds = engine.next_extensions(15)
    engine.extended(seconds, [came[1].receipt_handle], 15)
    assert handles(engine.next_batch(15)) == handles([came[0], came[2]])
    assert engine.tally.given_back == 1


def test_what_went_stale_while_it_was_written_is_settled_by_its_commit() -> None:
    """It is stored; the deletion may come too late, and then it comes again as a duplicate."""
    engine = new_engine(linger=0)
    (message,) = receive(engine, 1)
    batch = engine.next_batch(0)
    engine.sort_out(31)
    engine.written(batch, [Outcome.STORED], 31)
    assert engine.next_deletes() == [message.receipt_handle]
    assert (engine.tally.stored, engine.tally.given_back) == (1, 0)
