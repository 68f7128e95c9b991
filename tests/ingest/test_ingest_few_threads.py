"""The system allows few threads, or the main loop fails: what is held is settled all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.ingest.runs import send
from tests.ingest.threads import Process
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault
from tests.kit.waiting import until
from vault_etl.base.errors import IncompleteError
from vault_etl.ingest.steps import Bounds

MIB = 1024 * 1024
SENT = 2_000

Allowed = Callable[[str], bool]
Limit = Callable[[Allowed], None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Let only threads with allowed names start. No limit of the system holds for root."""
    start = threading.Thread.start

    def limit_to(allowed: Allowed) -> None:
        def limited(thread: threading.Thread) -> None:
            if not allowed(thread.name):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return limit_to


def slow(part: object) -> Any:  # noqa: ANN401 - stands for any port
    """A port whose queue has a delay."""

    def slowly(name: str, call: Callable[[], Any]) -> object:
        time.sleep(0.02 if name in {"receive", "delete"} else 0)
        return call()

    return Tap(part, slowly)


def number(name: str) -> int:
    """The number of a thread of a crew."""
    return int(name.rpartition("-")[2])


def test_a_crew_that_cannot_grow_stays_as_it_is(
    limit: Limit, capsys: pytest.CaptureFixture[str]
) -> None:
    """All messages are loaded, the numbers of threads are true, and one warning is logged."""
    limit(lambda name: not name.startswith(("receive-", "delete-")) or number(name) < 5)
    vault = FakeVault(RunningClock(1))
    send(vault, SENT)
    limits = {"most_calls": 16, "max_held_bytes": 256 * MIB, "batch_size": 400}
    ingest = vault.tapped(slow).threads(receivers=4, wait=0, **limits)
    summary = Process(ingest).end()
    assert summary.stored == summary.deleted == SENT
    crews = ingest._steps.engine.crews
    assert crews.receivers.size <= 5
    assert crews.deleters.size <= 5
    assert capsys.readouterr().err.count("no more threads") == 1


@pytest.mark.parametrize("missing", ["write", "give-back", "review", "delete-1", "receive-3"])
def test_too_few_threads_at_the_start_are_an_error(limit: Limit, missing: str) -> None:
    """What the receivers that did start have received is given back."""
    limit(lambda name: name != missing)
    vault = FakeVault(RunningClock(1))
    send(vault, 100)
    process = Process(vault.threads(receivers=4, wait=0, bounds=Bounds(follow=True)))
    with pytest.raises(IncompleteError, match="allows too few threads") as caught:
        process.end()
    assert "ulimit" in str(caught.value.hint)
    assert vault.observer.states[-1].held == 0
    assert all(seconds <= 30 for seconds in vault.queue.hidden_for())


def test_the_last_counts_of_the_queue_need_no_thread(limit: Limit) -> None:
    """The summary may lack them."""
    limit(lambda name: name != "measure")
    vault = FakeVault(RunningClock(1))
    send(vault, 10)
    assert Process(vault.threads(wait=0)).end().deleted == 10


def test_a_main_loop_that_fails_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is given back, and the error is raised."""
    vault = FakeVault(RunningClock(1))
    send(vault, 10)
    ingest = vault.threads(wait=0, bounds=Bounds(follow=True), linger=3_600)
    process = Process(ingest)
    until(lambda: ingest._steps.engine.held == 10)

    def fail() -> bool:
        raise MemoryError

    monkeypatch.setattr(ingest._reviews, "review", fail)
    with pytest.raises(MemoryError):
        process.end()
    assert ingest.summary().given_back == 10
