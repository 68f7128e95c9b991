"""The watch asks for the ages of the keys, seldom, and holds up no other work."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from tests.ingest.runs import send
from tests.ingest.threads import Process
from tests.kit.declared import IP
from tests.kit.fakes.key_age_observer import FakeKeyAgeObserver
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.switch import Switch
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault, rotate_request
from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.ingest.run import HEARTBEATS, Ingest, IngestOptions
from vault_etl.keys.age import ASK_SECONDS, KeyAges, KeyAgeWatch

LIMITS = {KeyPurpose.DATA: dt.timedelta(days=90), KeyPurpose.TOKEN: dt.timedelta()}
A_WHILE = dt.timedelta(seconds=ASK_SECONDS)

FAILURES = [
    UnavailableError("away"),
    DeniedError("no"),
    ConfigurationError("not migrated"),
    VaultEtlError("a statement of ours was refused"),
]
failures = pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)


def watch(vault: FakeVault, ages: KeyAges | None = None) -> tuple[KeyAgeWatch, FakeKeyAgeObserver]:
    """A watch of this vault, and the values that it reports."""
    observer = FakeKeyAgeObserver()
    return KeyAgeWatch(ages or vault.keys, LIMITS, vault.clock, observer), observer


def run(vault: FakeVault, looking: KeyAgeWatch) -> int:
    """Load the queue with the threads of an ingest and this watch; return how many messages it stored."""
    options = IngestOptions(wait=0, receivers=1, tick=0.005)
    steps = vault.steps(receivers=1, heartbeats=HEARTBEATS)
    return Process(Ingest(steps, vault.clock, options, looking.step)).end().stored


def test_the_first_check_asks_and_reports(fake_vault: FakeVault) -> None:
    """The report has the limits, an age, and that there is no data key yet."""
    fake_vault.clock.advance(7)
    looking, told = watch(fake_vault)
    assert looking.step() is False
    assert told.limits == LIMITS
    assert told.ages == {KeyPurpose.DATA: None, KeyPurpose.TOKEN: dt.timedelta(seconds=7)}


def test_a_watch_asks_once_a_minute_however_often_it_is_called(fake_vault: FakeVault) -> None:
    """Ten minutes of four calls a second are eleven queries."""
    recorder = Recorder()
    looking, _ = watch(fake_vault, recorder.tap(fake_vault.keys))
    for _ in range(4 * 600 + 1):
        looking.step()
        fake_vault.clock.advance(0.25)
    assert recorder.calls == ["oldest"] * 11


def test_a_retired_key_has_no_age_any_more(fake_vault: FakeVault) -> None:
    """After a rotation that leaves no active key behind, no key is overdue for ever."""
    fake_vault.leases().data_key(IP, 1)
    looking, told = watch(fake_vault)
    fake_vault.clock.advance(5)
    looking.step()
    assert told.ages[KeyPurpose.DATA] == dt.timedelta(seconds=5)
    fake_vault.keys.retire_data_keys(rotate_request(), [IP])
    fake_vault.clock.advance(ASK_SECONDS)
    looking.step()
    assert told.ages[KeyPurpose.DATA] is None


@failures
def test_a_failure_leaves_the_last_answer_and_is_asked_again(
    fake_vault: FakeVault, error: VaultEtlError
) -> None:
    """The next query is a minute later, not at once: a server that is away is not flooded."""
    switch = Switch("oldest")
    looking, told = watch(fake_vault, switch.tap(fake_vault.keys))
    switch.off(error)
    for _ in range(100):
        looking.step()
    assert (switch.refused, told.ages, told.limits) == (1, {}, LIMITS)
    switch.on()
    fake_vault.clock.advance(ASK_SECONDS)
    looking.step()
    assert told.ages[KeyPurpose.TOKEN] == A_WHILE


@failures
def test_an_ingest_that_cannot_read_key_ages_runs_as_any_other(error: VaultEtlError) -> None:
    """Ingest loads every message, stays ready, and ends with success."""
    vault = FakeVault(RunningClock(200))
    switch = Switch("oldest")
    switch.off(error)
    looking, _ = watch(vault, switch.tap(vault.keys))
    send(vault, 30)
    assert run(vault, looking) == 30
    assert switch.refused >= 1
    assert {state.unavailable for state in vault.observer.states} == {None}


def test_a_database_that_does_not_answer_the_watch_holds_up_no_run() -> None:
    """The run is over while the watch still waits."""
    vault = FakeVault(RunningClock(200))
    asked, answers = threading.Event(), threading.Event()

    class Silent:
        def oldest(self, _state: object) -> dict[KeyPurpose, dt.timedelta]:
            asked.set()
            answers.wait(60)
            return {}

    looking, _ = watch(vault, Silent())
    send(vault, 30)
    try:
        assert run(vault, looking) == 30
        assert asked.is_set()
    finally:
        answers.set()
