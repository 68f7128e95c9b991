"""Ingest without faults: the counted, deleted and given-back messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.ingest.runs import counts, send
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import UnavailableError
from vault_etl.event.rejection import Reason
from vault_etl.ingest.engine.limits import Tally
from vault_etl.ingest.observer import Movement
from vault_etl.ingest.run import Ingest, IngestOptions
from vault_etl.ingest.steps import Bounds
from vault_etl.records.messages import Outcome


def test_every_message_is_stored_or_quarantined_and_then_deleted(fake_vault: FakeVault) -> None:
    """No message is dropped, and no bad message comes back forever."""
    send(fake_vault, 25)
    for body in (b"junk", b"\xff", b"[" * 10_000, login_event(ip="nowhere")):
        fake_vault.queue.send(body)
    summary = fake_vault.drain()
    assert counts(summary) == {"received": 29, "stored": 25, "quarantined": 4, "deleted": 29}
    assert len(fake_vault.database.records) == 25
    assert len(fake_vault.database.quarantine) == 4
    assert fake_vault.queue.message_ids == []


def test_an_empty_queue_causes_no_work(fake_vault: FakeVault) -> None:
    """No key is made, and no transaction is opened."""
    generated = len(fake_vault.kms.generated)
    assert counts(fake_vault.drain()) == {}
    assert len(fake_vault.kms.generated) == generated
    assert fake_vault.loader.batches == []


def test_a_message_that_comes_again_is_a_duplicate(fake_vault: FakeVault) -> None:
    """The second load stores nothing, and deletes the message."""
    send(fake_vault, 3)
    fake_vault.queue.send(b"junk")
    fake_vault.queue.refuse_deletes = 1000
    first = fake_vault.drain()
    assert counts(first) == {
        "received": 4,
        "stored": 3,
        "quarantined": 1,
        "left_in_flight": 4,
    }
    fake_vault.queue.refuse_deletes = 0
    fake_vault.clock.advance(61)
    assert counts(fake_vault.drain()) == {
        "received": 4,
        "duplicates": 3,
        "already_quarantined": 1,
        "deleted": 4,
    }
    assert (len(fake_vault.database.records), len(fake_vault.database.quarantine)) == (3, 1)


def test_one_message_twice_in_a_batch_is_stored_once(fake_vault: FakeVault) -> None:
    """Standard queues deliver at least once, and both copies may come together."""
    for body in (login_event(), b"junk"):
        message_id = fake_vault.queue.send(body)
        fake_vault.queue.send(body, message_id=message_id)
    assert counts(fake_vault.drain()) == {
        "received": 4,
        "stored": 1,
        "duplicates": 1,
        "quarantined": 1,
        "already_quarantined": 1,
        "deleted": 4,
    }


def test_two_equal_logins_are_two_events(fake_vault: FakeVault) -> None:
    """The content of an event does not identify it."""
    fake_vault.queue.send(login_event())
    fake_vault.queue.send(login_event())
    assert fake_vault.drain().stored == 2


@pytest.mark.parametrize("wanted", [1, 9, 10, 11, 25, 26, 100])
def test_max_messages_is_exact(fake_vault: FakeVault, wanted: int) -> None:
    """No further message is received, although messages come by tens and in batches."""
    send(fake_vault, 25)
    summary = fake_vault.drain(bounds=Bounds(max_messages=wanted), batch_size=7)
    expected = min(wanted, 25)
    assert (summary.received, summary.stored, summary.deleted) == (expected,) * 3
    assert len(fake_vault.queue.message_ids) == 25 - expected
    assert fake_vault.queue.depth().in_flight == 0


def test_max_messages_of_zero_receives_no_message(fake_vault: FakeVault) -> None:
    """No message is hidden from other receivers."""
    send(fake_vault, 3)
    assert counts(fake_vault.drain(bounds=Bounds(max_messages=0))) == {}
    assert fake_vault.queue.depth().visible == 3


@pytest.mark.parametrize("size", [1, 7, 10, 25, 1_000])
def test_batches_have_the_set_size(fake_vault: FakeVault, size: int) -> None:
    """Each batch is one transaction; the last batch is smaller."""
    send(fake_vault, 25)
    fake_vault.drain(batch_size=size)
    assert max(fake_vault.loader.batches) == min(size, 25)
    assert sum(fake_vault.loader.batches) == 25
    assert len(fake_vault.loader.batches) == -(-25 // size)


def test_a_batch_is_bounded_in_bytes(fake_vault: FakeVault) -> None:
    """A message can have 1 MiB: a batch closes before it exceeds its bytes."""
    send(fake_vault, 40)
    assert fake_vault.drain(batch_bytes=10 * len(login_event(user_id="user-10"))).stored == 40
    assert max(fake_vault.loader.batches) == 10


def test_a_batch_is_bounded_in_time(fake_vault: FakeVault) -> None:
    """A batch is written when its linger is over, full or not, so that slow messages do not wait forever."""
    send(fake_vault, 30)

    def slowly(name: str, call: Callable[[], Any]) -> object:
        if name == "receive":
            fake_vault.clock.advance(0.6)
        return call()

    slow = fake_vault.tapped(lambda part: Tap(part, slowly))
    slow.drain(linger=0.5)
    assert fake_vault.loader.batches == [20, 10]


def test_a_deletion_that_fails_is_tried_again(fake_vault: FakeVault) -> None:
    """There are three tries, of the failed deletions only."""
    send(fake_vault, 12)
    fake_vault.queue.refuse_deletes = 14
    summary = fake_vault.drain()
    # 12 refused, then 2 refused and 10 deleted, then the 2.
    assert counts(summary) == {"received": 12, "stored": 12, "deleted": 12}


def test_a_message_that_cannot_be_deleted_is_left(fake_vault: FakeVault) -> None:
    """The message comes again, as a duplicate; the run continues."""
    send(fake_vault, 2)
    fake_vault.queue.refuse_deletes = 3 * 2
    summary = fake_vault.drain()
    assert counts(summary) == {"received": 2, "stored": 2, "left_in_flight": 2}


@pytest.mark.parametrize("held", [1, 10, 25])
def test_messages_given_back_are_visible_after_5_to_30_seconds(
    fake_vault: FakeVault, held: int
) -> None:
    """The delay is random, so that the messages spread; none of them counts as done."""
    send(fake_vault, held)
    fake_vault.kms.down = True
    ingest = fake_vault.ingest()
    with pytest.raises(UnavailableError):
        ingest.run(threading.Event())
    tally = ingest.steps.engine.tally
    assert tally == Tally(received=held, given_back=held)
    assert all(5 <= seconds <= 30 for seconds in fake_vault.queue.hidden_for())
    assert held < 10 or len(set(fake_vault.queue.hidden_for())) > 1


def test_a_receive_that_fails_gives_back_the_messages_before_it(fake_vault: FakeVault) -> None:
    """The first ten of a batch do not stay hidden because the second ten did not come."""
    send(fake_vault, 20)
    receives = iter(range(100))

    def failing(name: str, call: Callable[[], Any]) -> object:
        if name == "receive" and next(receives) == 1:
            raise UnavailableError("SQS cannot be reached")
        return call()

    ingest = fake_vault.tapped(lambda part: Tap(part, failing)).ingest()
    with pytest.raises(UnavailableError):
        ingest.run(threading.Event())
    assert ingest.steps.engine.tally == Tally(received=10, given_back=10)
    assert sum(seconds > 0 for seconds in fake_vault.queue.hidden_for()) == 10


def test_each_batch_is_reported(fake_vault: FakeVault) -> None:
    """A report has the number, the outcomes, the reasons and the ages, and no content."""
    fake_vault.queue.send(login_event(extra=1, more=2))
    fake_vault.clock.advance(100)
    fake_vault.queue.send(b"junk")
    fake_vault.drain(wait=0, linger=0)
    (report,) = fake_vault.observer.batches
    assert report.messages == 2
    assert report.outcomes == {Outcome.STORED: 1, Outcome.QUARANTINED: 1}
    assert report.reasons == {Reason.NOT_JSON: 1}
    assert report.extra_fields == {"extra": 1, "more": 1}
    assert report.bytes == 1024
    assert (report.oldest_age, report.newest_age) == (100, 0)
    assert (report.max_receive_count, report.cause) == (1, None)


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025])
def test_no_length_of_a_body_is_reported(fake_vault: FakeVault, size: int) -> None:
    """The sizes of a batch of one message, and of held messages, are whole KiB."""
    fake_vault.queue.send(b"x" * size)
    fake_vault.drain(wait=0, linger=0)
    (report,) = fake_vault.observer.batches
    assert report.bytes == (2048 if size > 1024 else 1024)
    assert all(state.held_bytes % 1024 == 0 for state in fake_vault.observer.states)


def test_movements_are_reported_once(fake_vault: FakeVault) -> None:
    """They add up to the summary, however often the steps are taken."""
    send(fake_vault, 25)
    summary = fake_vault.drain(batch_size=7)
    told = fake_vault.observer.movements
    assert told == {Movement.RECEIVED: summary.received, Movement.DELETED: summary.deleted}


def test_the_summary_has_the_rate(fake_vault: FakeVault) -> None:
    """The rate is in messages a second, without those given back."""
    steps = fake_vault.steps()
    ingest = Ingest(steps, fake_vault.clock, IngestOptions())
    steps.engine.tally.received, steps.engine.tally.given_back = 25, 5
    fake_vault.clock.advance(10)
    assert (ingest.summary().seconds, ingest.summary().messages_per_second) == (10, 2.0)
