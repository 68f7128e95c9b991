"""Deletions: only committed messages, ten per call, three tries, and one call at a time in an outage."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import handles, new_engine, receive, settled, write
from vault_etl.ingest.engine.deletions import REFUSAL_PAUSES
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.records.messages import Outcome


def committed(count: int) -> IngestEngine:
    """Return an engine with `count` messages to delete."""
    engine = new_engine(linger=0)
    while count > engine.held:
        receive(engine, count - engine.held)
    write(engine, 0)
    return engine


def test_no_message_is_deleted_before_its_commit_is_reported() -> None:
    """Buffered messages, messages being written, and messages to retry are not deleted."""
    engine = new_engine(linger=0)
    receive(engine, 2)
    assert engine.next_deletes(0) == []
    batch = engine.next_batch(0)
    assert engine.next_deletes(0) == []
    engine.written(batch, [Outcome.RETRY, Outcome.STORED], 0)
    assert engine.next_deletes(0) == handles(batch[1:])


@pytest.mark.parametrize(
    "outcome", [outcome for outcome in Outcome if outcome is not Outcome.RETRY]
)
def test_every_committed_message_is_deleted(outcome: Outcome) -> None:
    """Stored, quarantined, and duplicate messages are deleted."""
    engine = new_engine(linger=0)
    receive(engine, 1)
    batch = write(engine, 0, outcome)
    assert engine.next_deletes(0) == handles(batch)


def test_handles_to_delete_are_returned_by_tens_and_once() -> None:
    """Several deleters get different handles."""
    engine = committed(25)
    calls = [engine.next_deletes(0) for _ in range(4)]
    assert [len(call) for call in calls] == [10, 10, 5, 0]
    assert len({handle for call in calls for handle in call}) == 25


def test_only_failed_deletions_are_tried_again() -> None:
    """The other messages are deleted, counted, and no longer held."""
    engine = committed(10)
    call = engine.next_deletes(0)
    engine.deleted(call, call[:3], 0)
    assert (engine.tally.deleted, engine.held) == (7, 3)
    assert sorted(engine.next_deletes(REFUSAL_PAUSES[0])) == sorted(call[:3])


def test_a_refused_deletion_is_tried_three_times_with_growing_pauses() -> None:
    """Then the message is left to come again, and the run continues. Other deletions do not wait for it."""
    engine = committed(11)
    refused, now = engine.next_deletes(0)[:1], 0.0
    engine.deleted(refused, refused, now)
    assert len(engine.next_deletes(now)) == 1
    for pause in REFUSAL_PAUSES:
        assert (engine.to_delete(now + pause - 0.1), engine.next_deletes(now + pause - 0.1)) == (
            0,
            [],
        )
        now += pause
        assert engine.next_deletes(now) == refused
        engine.deleted(refused, refused, now)
    assert engine.next_deletes(now + 60) == []
    assert engine.tally.deleted == 0
    assert settled(engine) == engine.tally.received == 11
    assert list(REFUSAL_PAUSES) == sorted(set(REFUSAL_PAUSES))


def test_an_outage_does_not_count_as_a_refusal() -> None:
    """While the handle is valid, the deletion is tried again without a limit."""
    engine = committed(1)
    for now in range(30):
        call = engine.next_deletes(now)
        assert len(call) == 1
        engine.delete_failed(call, float(now))
    call = engine.next_deletes(30)
    engine.delete_failed(call, 30.0)
    assert (engine.next_deletes(30), engine.held) == ([], 0)


def test_an_outage_is_tried_by_one_call_at_a_time() -> None:
    """When its next try is due. After an answer all deletions are due again."""
    engine = committed(40)
    first, second = engine.next_deletes(0), engine.next_deletes(0)
    engine.delete_failed(first, 0, 5)
    engine.delete_failed(second, 0, 5)
    assert (engine.to_delete(4.9), engine.next_deletes(4.9)) == (0, [])
    assert engine.to_delete(5) == 10
    probe = engine.next_deletes(5)
    assert (len(probe), engine.to_delete(5), engine.next_deletes(5)) == (10, 0, [])
    engine.deleted(probe, [], 5)
    assert engine.to_delete(5) == 30


def test_an_end_waits_for_no_pause() -> None:
    """A stop makes every next try due, once: after an outage, and after a refusal."""
    engine = committed(11)
    refused, unanswered = engine.next_deletes(0), engine.next_deletes(0)
    engine.deleted(refused, refused[:1], 0)
    engine.delete_failed(unanswered, 0, 20)
    engine.stop()
    assert sorted(engine.next_deletes(0)) == sorted(unanswered + refused[:1])
    engine.delete_failed(unanswered + refused[:1], 0, 20)
    engine.stop()
    assert engine.next_deletes(19) == []


def test_messages_that_wait_for_deletion_are_extended() -> None:
    """So an outage of deletions alone makes no message visible again."""
    engine = committed(1)
    (handle,) = engine.next_extensions(15)
    engine.extended({handle: 30}, [], 15)
    call = engine.next_deletes(0)
    engine.delete_failed(call, 44)
    assert engine.next_deletes(0) == call


def test_messages_being_deleted_are_not_extended() -> None:
    """They will be gone at once."""
    engine = committed(1)
    engine.next_deletes(0)
    assert engine.next_extensions(20) == {}
