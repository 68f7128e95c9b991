"""Deletions: only committed messages, ten per call, three refusals, and retries while handles are valid."""

from __future__ import annotations

import pytest

from tests.ingest.engine.engines import handles, new_engine, receive, settled, write
from vault_etl.ingest.engine.engine import DELETE_TRIES, IngestEngine
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
    assert engine.next_deletes() == []
    batch = engine.next_batch(0)
    assert engine.next_deletes() == []
    engine.written(batch, [Outcome.RETRY, Outcome.STORED], 0)
    assert engine.next_deletes() == handles(batch[1:])


@pytest.mark.parametrize(
    "outcome", [outcome for outcome in Outcome if outcome is not Outcome.RETRY]
)
def test_every_committed_message_is_deleted(outcome: Outcome) -> None:
    """Stored, quarantined, and duplicate messages are deleted."""
    engine = new_engine(linger=0)
    receive(engine, 1)
    batch = write(engine, 0, outcome)
    assert engine.next_deletes() == handles(batch)


def test_handles_to_delete_are_returned_by_tens_and_once() -> None:
    """Several deleters get different handles."""
    engine = committed(25)
    calls = [engine.next_deletes() for _ in range(4)]
    assert [len(call) for call in calls] == [10, 10, 5, 0]
    assert len({handle for call in calls for handle in call}) == 25


def test_only_failed_deletions_are_tried_again() -> None:
    """The other messages are deleted, counted, and no longer held."""
    engine = committed(10)
    call = engine.next_deletes()
    engine.deleted(call, call[:3])
    assert (engine.tally.deleted, engine.held) == (7, 3)
    assert engine.next_deletes() == call[:3]


def test_a_deletion_is_tried_three_times() -> None:
    """Then the message is left to come again, and the run continues."""
    engine = committed(1)
    for _ in range(DELETE_TRIES):
        call = engine.next_deletes()
        assert len(call) == 1
        engine.deleted(call, call)
    assert engine.next_deletes() == []
    assert (engine.held, engine.tally.deleted) == (0, 0)
    assert settled(engine) == engine.tally.received == 1
    assert DELETE_TRIES == 3


def test_an_outage_does_not_count_as_a_refusal() -> None:
    """While the handle is valid, the deletion is tried again without a limit."""
    engine = committed(1)
    for now in range(30):
        call = engine.next_deletes()
        assert len(call) == 1
        engine.delete_failed(call, float(now))
    call = engine.next_deletes()
    engine.delete_failed(call, 30.0)
    assert (engine.next_deletes(), engine.held) == ([], 0)


def test_messages_that_wait_for_deletion_are_extended() -> None:
    """So an outage of deletions alone makes no message visible again."""
    engine = committed(1)
    (handle,) = engine.next_extensions(15)
    engine.extended({handle: 30}, [], 15)
    call = engine.next_deletes()
    engine.delete_failed(call, 44)
    assert engine.next_deletes() == call


def test_messages_being_deleted_are_not_extended() -> None:
    """They will be gone at once."""
    engine = committed(1)
    engine.next_deletes()
    assert engine.next_extensions(20) == {}
