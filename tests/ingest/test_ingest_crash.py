"""A crash anywhere: no message is lost, none is stored twice, and none is deleted before its commit.

Every call of every port fails once, before its effect and after it (its answer is lost), as an outage
and as death. `FakeVault` checks at every deletion that the message is committed.
"""

from __future__ import annotations

import threading

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.stepped_ingest import SteppedIngest
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import PATIENT, FakeVault
from vault_etl.base.errors import UnavailableError
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.ingest.run import IngestSummary
from vault_etl.ingest.steps import Bounds

NEVER = 10**9


class Death(BaseException):
    """The end of the process: no code catches it, and no call works any more."""


def with_messages() -> tuple[FakeVault, list[str]]:
    """Return a vault with 23 messages: two of them are not events, and one is delivered twice."""
    vault = FakeVault()
    ids = [vault.queue.send(login_event(user_id=f"user-{n}")) for n in range(21)]
    ids += [vault.queue.send(body) for body in (b"junk", login_event(ip="nowhere"))]
    vault.queue.send(login_event(user_id="user-0"), message_id=ids[0])
    return vault, ids


def run(vault: FakeVault, breaker: Breaker) -> SteppedIngest | None:
    """Run a process that may break. Return its result, if it got as far as to begin."""
    ingest = None
    try:
        ingest = vault.tapped(breaker.tap).ingest(batch_size=12)
        ingest.run(threading.Event())
    except (UnavailableError, Death):
        assert breaker.broke
    return ingest


def assert_adds_up(summary: IngestSummary) -> None:
    """Check the law of the summary."""
    assert summary.received == (
        summary.stored
        + summary.duplicates
        + summary.quarantined
        + summary.already_quarantined
        + summary.given_back
    )


def calls_of_a_good_run() -> int:
    """Return the number of calls that can break."""
    breaker = Breaker(NEVER, Death())
    vault, _ = with_messages()
    run(vault, breaker)
    return breaker.calls


CALLS = calls_of_a_good_run()


def test_there_are_calls_to_break() -> None:
    """Without calls, the sweep below would be an empty claim."""
    assert CALLS > 20


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error",
    [UnavailableError("not there"), Death()],
    ids=["outage", "death"],
)
@pytest.mark.parametrize("at", range(CALLS))
def test_no_message_is_lost_or_stored_twice(at: int, error: BaseException, after: bool) -> None:
    """Another process finishes after the break: each message is stored once, and the queue is empty."""
    vault, ids = with_messages()
    sent_ms = int(vault.clock.now().timestamp() * 1000)
    breaker = Breaker(at, error, after=after, for_good=isinstance(error, Death))
    broken = run(vault, breaker)
    if broken is not None and not isinstance(error, Death):
        assert_adds_up(broken.summary())

    vault.clock.advance(3_600)
    summary = vault.drain()
    assert_adds_up(summary)
    assert summary.given_back == 0
    everything = {record_id_of_message(message_id, sent_ms) for message_id in ids}
    assert set(vault.database.records) | set(vault.database.quarantine) == everything
    assert (len(vault.database.records), len(vault.database.quarantine)) == (21, 2)
    assert vault.queue.message_ids == []


@pytest.mark.parametrize("at", range(CALLS))
def test_an_outage_hides_no_message_for_long(at: int) -> None:
    """The run gives back its received messages at its end: all of them are visible 30 seconds later."""
    vault, _ = with_messages()
    vault.queue._visibility = 3_600
    breaker = Breaker(at, UnavailableError("not there"))
    broken = run(vault, breaker)
    if broken is None or not broken.summary().given_back:
        return
    vault.clock.advance(30)
    assert vault.queue.depth().visible >= broken.summary().given_back


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS))
def test_an_outage_of_one_call_is_waited_for(at: int, after: bool) -> None:
    """The same process continues: it loads every message, and ends without an error."""
    vault, ids = with_messages()
    breaker = Breaker(at, UnavailableError("not there"), after=after)
    seen = vault.tapped(breaker.tap)
    bounds = Bounds(wait_in_flight=True)  # what a lost answer has hidden comes again
    summary = seen.drain(batch_size=12, patience=PATIENT, bounds=bounds)
    assert breaker.broke
    assert_adds_up(summary)
    assert summary.left_in_flight == summary.left_delayed == 0
    assert len(vault.database.records | vault.database.quarantine) == len(ids)
    assert vault.queue.message_ids == []
