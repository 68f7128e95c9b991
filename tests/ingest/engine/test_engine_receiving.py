"""What an ingest may receive: bounded in messages, in bytes, by the heartbeat and by what was asked for."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import new_engine, new_message, receive, settle, write
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES
from vault_etl.records.messages import Outcome

KIB = 1024


def fill(engine: IngestEngine, *, size: int = 10) -> int:
    """Receive as long as anything is granted; how many are held then."""
    while receive(engine, size=size):
        pass
    return engine.held


def test_a_call_asks_for_ten_at_most() -> None:
    """SQS's own limit."""
    assert new_engine().grant() == MAX_CALL == 10


@pytest.mark.parametrize("most", [1, 9, 10, 11, 37])
def test_no_more_is_held_than_the_setting_allows(most: int) -> None:
    """Not one more, though they come by tens."""
    assert fill(new_engine(max_held=most)) == most


def test_calls_under_way_count_as_if_all_of_it_had_come() -> None:
    """Several receivers together hold no more than one alone."""
    engine = new_engine(max_held=25, receivers=4)
    assert [engine.grant() for _ in range(4)] == [10, 10, 5, 0]
    engine.received(0, 10, [new_message()], 0)
    assert engine.grant() == 9


def test_what_a_call_did_not_bring_may_be_asked_for_again() -> None:
    """Whether it brought less, nothing, or an error."""
    engine = new_engine(max_held=10)
    engine.received(0, engine.grant(), [], 0)
    engine.receive_failed(0, engine.grant())
    assert engine.grant() == 10


def test_every_message_may_turn_out_to_be_of_one_mebibyte() -> None:
    """So what is granted never brings more bytes than may be held, whatever comes."""
    engine = new_engine(max_held_bytes=25 * MAX_MESSAGE_BYTES, receivers=4)
    assert [engine.grant() for _ in range(4)] == [10, 10, 5, 0]
    messages = [new_message(MAX_MESSAGE_BYTES) for _ in range(10)]
    engine.received(0, 10, messages, 0)
    assert engine.held_bytes == 10 * MAX_MESSAGE_BYTES
    assert engine.grant() == 0


@pytest.mark.parametrize("size", [1, 200 * KIB, MAX_MESSAGE_BYTES])
def test_bytes_are_bounded_whatever_the_size(size: int) -> None:
    """The bound is never passed, and all but one message's worst case of it is used."""
    bound = 16 * MAX_MESSAGE_BYTES
    engine = new_engine(max_held_bytes=bound, max_held=500)
    held = fill(engine, size=size)
    assert engine.held_bytes <= bound
    assert held == 500 or engine.held_bytes > bound - MAX_MESSAGE_BYTES


def test_what_is_committed_holds_no_bytes_and_still_counts() -> None:
    """Its body is let go with its commit; its handle is ours until it is deleted."""
    engine = new_engine(max_held=10, linger=0)
    receive(engine, 10, size=100)
    assert engine.held_bytes == 1_000
    write(engine, 0)
    assert (engine.held_bytes, engine.held, engine.grant()) == (0, 10, 0)
    settle(engine)
    assert (engine.held, engine.grant()) == (0, 10)


def test_no_more_is_held_than_the_heartbeats_extend_in_time() -> None:
    """2.5 · H · V / R, and never fewer than one call."""
    engine = new_engine(heartbeats=2, visibility=30)
    for seconds, bound in ((0.1, 1_500), (1.0, 150), (2.0, 75), (60.0, 10)):
        engine.extension_took(seconds, 0)
        assert engine.max_held == bound
    assert fill(engine) == 10


def test_a_setting_below_one_call_stands_whatever_the_heartbeats_say() -> None:
    """Who sets one gets one."""
    engine = new_engine(max_held=1)
    engine.extension_took(60, 0)
    assert engine.max_held == 1


@pytest.mark.parametrize("wanted", [0, 1, 9, 10, 11, 25])
def test_max_messages_is_exact_over_several_receivers(wanted: int) -> None:
    """What calls under way may bring is counted before it comes."""
    engine = new_engine(max_messages=wanted, receivers=4)
    granted = [engine.grant() for _ in range(4)]
    assert sum(granted) == min(wanted, 40)
    for receiver, count in enumerate(granted):
        engine.received(receiver, count, [new_message() for _ in range(count)], 0)
    assert engine.grant() == 0
    assert engine.tally.received == wanted


def test_a_call_that_brought_less_than_was_wanted_leaves_the_rest_to_the_next() -> None:
    """Two come of the five that are wanted; three more are."""
    engine = new_engine(max_messages=5)
    receive(engine, 2)
    assert engine.grant() == 3


def test_while_nothing_can_be_written_nothing_is_received() -> None:
    """What came before is held; when a batch is written, receiving goes on."""
    engine = new_engine(linger=0)
    receive(engine, 10)
    write(engine, 0, Outcome.RETRY, retry_after=5)
    assert engine.away
    assert engine.grant() == 0
    assert engine.next_batch(4.9) == []
    assert len(write(engine, 5)) == 10
    assert not engine.away
    assert engine.grant() == 10


def test_an_outage_that_outlasts_every_handle_is_not_the_end() -> None:
    """All of it went stale and was dropped: one call brings what is tried next."""
    engine = new_engine(linger=0, receivers=4)
    receive(engine, 10)
    write(engine, 0, Outcome.RETRY, retry_after=1)
    engine.sort_out(31)
    assert engine.held == 0
    assert [engine.grant() for _ in range(4)] == [10, 0, 0, 0]
    engine.received(0, 10, [new_message()], 31)
    assert engine.grant() == 0
    assert len(write(engine, 31)) == 1
    assert engine.grant() == 10


def test_a_handle_that_comes_twice_is_held_once() -> None:
    """The second receive has nothing of its own to delete: it is counted as given back."""
    engine = new_engine(linger=0)
    (message,) = receive(engine, 1)
    engine.received(0, engine.grant(), [message], 20)
    assert (engine.tally.received, engine.tally.given_back, engine.held) == (2, 1, 1)
    assert len(engine.next_batch(40)) == 1  # its time counts from the second receive


@pytest.mark.parametrize(
    "limits",
    [
        {"batch_size": 0},
        {"batch_bytes": 0},
        {"max_held": 0},
        {"max_held_bytes": MAX_MESSAGE_BYTES - 1},
        {"visibility": 0},
        {"receivers": 0},
    ],
)
def test_limits_under_which_nothing_could_be_received_are_refused(limits: dict[str, int]) -> None:
    """Rather than an ingest that waits for ever."""
    with pytest.raises(ValueError, match="within these limits"):
        new_engine(**limits)
