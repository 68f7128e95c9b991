"""The bounds of receiving: in messages, in bytes, by the heartbeats, and by `max_messages`."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import new_engine, new_message, receive, settle, write
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES
from vault_etl.records.messages import Outcome

KIB = 1024


def fill(engine: IngestEngine, *, size: int = 10) -> int:
    """Receive as long as messages are granted. Return the number of held messages."""
    while receive(engine, size=size):
        pass
    return engine.held


def test_a_call_asks_for_ten_at_most() -> None:
    """Ten is SQS's own limit."""
    assert new_engine().grant() == MAX_CALL == 10


@pytest.mark.parametrize("most", [1, 9, 10, 11, 37])
def test_no_more_is_held_than_the_setting_allows(most: int) -> None:
    """The bound is exact, although messages come by tens."""
    assert fill(new_engine(max_held=most)) == most


def test_calls_under_way_count_with_their_whole_grant() -> None:
    """Several receivers together hold no more than one receiver alone."""
    engine = new_engine(max_held=25, receivers=4)
    assert [engine.grant() for _ in range(4)] == [10, 10, 5, 0]
    engine.received(0, 10, [new_message()], 0)
    assert engine.grant() == 9


def test_an_unused_grant_may_be_granted_again() -> None:
    """The call brought fewer messages, none, or an error."""
    engine = new_engine(max_held=10)
    engine.received(0, engine.grant(), [], 0)
    engine.receive_failed(0, engine.grant())
    assert engine.grant() == 10


def test_a_grant_assumes_messages_of_one_mebibyte() -> None:
    """So a grant never brings more bytes than may be held."""
    engine = new_engine(max_held_bytes=25 * MAX_MESSAGE_BYTES, receivers=4)
    assert [engine.grant() for _ in range(4)] == [10, 10, 5, 0]
    messages = [new_message(MAX_MESSAGE_BYTES) for _ in range(10)]
    engine.received(0, 10, messages, 0)
    assert engine.held_bytes == 10 * MAX_MESSAGE_BYTES
    assert engine.grant() == 0


@pytest.mark.parametrize("size", [1, 200 * KIB, MAX_MESSAGE_BYTES])
def test_bytes_are_bounded_whatever_the_size(size: int) -> None:
    """The bound is never exceeded, and is used except for the worst case of one message."""
    bound = 16 * MAX_MESSAGE_BYTES
    engine = new_engine(max_held_bytes=bound, max_held=500)
    held = fill(engine, size=size)
    assert engine.held_bytes <= bound
    assert held == 500 or engine.held_bytes > bound - MAX_MESSAGE_BYTES


def test_a_committed_message_has_no_bytes_and_still_counts() -> None:
    """The body is dropped at the commit; the handle is held until the deletion."""
    engine = new_engine(max_held=10, linger=0)
    receive(engine, 10, size=100)
    assert engine.held_bytes == 1_000
    write(engine, 0)
    assert (engine.held_bytes, engine.held, engine.grant()) == (0, 10, 0)
    settle(engine)
    assert (engine.held, engine.grant()) == (0, 10)


def test_no_more_is_held_than_the_heartbeats_extend_in_time() -> None:
    """The bound is 2.5 · H · V / R, and at least one call."""
    engine = new_engine(heartbeats=2, visibility=30)
    for seconds, bound in ((0.1, 1_500), (1.0, 150), (2.0, 75), (60.0, 10)):
        engine.extension_took(seconds, 0)
        assert engine.max_held == bound
    assert fill(engine) == 10


def test_a_setting_below_one_call_holds_despite_the_heartbeats() -> None:
    """A user who sets one message gets one."""
    engine = new_engine(max_held=1)
    engine.extension_took(60, 0)
    assert engine.max_held == 1


@pytest.mark.parametrize("wanted", [0, 1, 9, 10, 11, 25])
def test_max_messages_is_exact_over_several_receivers(wanted: int) -> None:
    """The grants of calls under way are counted."""
    engine = new_engine(max_messages=wanted, receivers=4)
    granted = [engine.grant() for _ in range(4)]
    assert sum(granted) == min(wanted, 40)
    for receiver, count in enumerate(granted):
        engine.received(receiver, count, [new_message() for _ in range(count)], 0)
    assert engine.grant() == 0
    assert engine.tally.received == wanted


def test_a_call_that_brought_less_than_was_wanted_leaves_the_rest_to_the_next() -> None:
    """Two of five wanted messages come; then three more are granted."""
    engine = new_engine(max_messages=5)
    receive(engine, 2)
    assert engine.grant() == 3


def test_while_nothing_can_be_written_nothing_is_received() -> None:
    """Earlier messages stay held; after a written batch, receiving continues."""
    engine = new_engine(linger=0)
    receive(engine, 10)
    write(engine, 0, Outcome.RETRY, retry_after=5)
    assert engine.writes_fail
    assert engine.grant() == 0
    assert engine.next_batch(4.9) == []
    assert len(write(engine, 5)) == 10
    assert not engine.writes_fail
    assert engine.grant() == 10


def test_an_outage_that_outlasts_every_handle_is_not_the_end() -> None:
    """All messages went stale and were dropped: one call brings the messages of the next try."""
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
    """The second receive has nothing to delete: the message counts as given back."""
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
def test_limits_that_allow_no_message_are_refused(limits: dict[str, int]) -> None:
    """Otherwise an ingest would wait forever."""
    with pytest.raises(ValueError, match="within these limits"):
        new_engine(**limits)
