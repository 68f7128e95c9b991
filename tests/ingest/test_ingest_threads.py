"""The threads of an ingest: with a bad queue, in a long outage, on a slow queue, with large messages."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.ingest.runs import send
from tests.ingest.threads import PATIENCE_S, Process
from tests.kit.fakes.faulty_queue import BAD_DAY, Fault, FaultyQueue
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.queue import FakeQueue, Redrive
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.switch import Switch
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from tests.kit.waiting import until
from vault_etl.base.errors import DataError
from vault_etl.ingest.run import HEARTBEATS, IngestSummary
from vault_etl.ingest.steps import Bounds
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.written import Written

MIB = 1024 * 1024


def adds_up(summary: IngestSummary) -> bool:
    """Check the law of the summary."""
    ends = summary.stored + summary.duplicates + summary.quarantined + summary.already_quarantined
    return summary.received == ends + summary.given_back


@pytest.mark.parametrize("seed", range(2))
def test_a_bad_queue_loses_no_message(seed: int) -> None:
    """Two thousand messages, four receivers or more, every fault: each message is one row, and the queue is empty.

    A fast machine holds no message for so long that it has to be extended.
    """
    clock = RunningClock(200)
    vault = FakeVault(clock)
    queue = FaultyQueue(clock, BAD_DAY, seed=seed)
    vault.use_queue(queue)
    send(vault, 1_980)
    for _ in range(20):
        vault.queue.send(b"junk")
    ingest = vault.threads(
        receivers=4,
        most_calls=4 + 12 * seed,
        max_held_bytes=256 * MIB,
        batch_size=150,
        visibility=60,
        patience=PATIENT,
        bounds=Bounds(wait_in_flight=True),
    )
    summary = Process(ingest).end()
    assert adds_up(summary)
    assert (len(vault.database.records), len(vault.database.quarantine)) == (1_980, 20)
    assert (summary.stored, summary.quarantined) == (1_980, 20)
    assert vault.queue.message_ids == []
    assert all(count or fault is Fault.EXTEND_FAILURE for fault, count in queue.fallen.items())


def test_ten_minutes_of_outage_fill_no_dead_letter_queue() -> None:
    """With 30 s of visibility and five receives, messages are held, and loaded when the database is back."""
    clock = RunningClock(200)
    vault = FakeVault(clock)
    dead_letters = FakeQueue(clock)
    vault.use_queue(FakeQueue(clock, 30, redrive=Redrive(5, dead_letters)))
    send(vault, 200)
    switch = Switch("load")
    switch.off()
    seen = vault.tapped(switch.tap)
    process = Process(
        seen.threads(receivers=4, patience=PATIENT, bounds=Bounds(follow=True), batch_size=50)
    )
    until(lambda: clock.monotonic() > 600)
    assert vault.database.records == {}
    assert not vault.observer.states[-1].ready
    switch.on()
    until(lambda: len(vault.database.records) == 200)
    until(lambda: vault.queue.message_ids == [])
    until(lambda: vault.observer.states[-1].ready)
    process.signals.first.set()
    summary = process.end()
    assert adds_up(summary)
    assert dead_letters.message_ids == []
    assert summary.stored == 200


def test_a_queue_that_extends_slowly_is_drained() -> None:
    """No more messages are held than are extended in time: otherwise handles would go stale faster.

    bento#878: 300 messages, ten of which are extended in two seconds by each of two heartbeats;
    a visibility of 20 s; and a database that takes 15 s for a batch.
    """
    clock = RunningClock(60)
    vault = FakeVault(clock)
    vault.use_queue(FakeQueue(clock, 20))
    send(vault, 300)

    def slowly(name: str, call: Callable[[], Any]) -> object:
        clock.advance({"extend": 2, "load": 15}.get(name, 0))
        return call()

    seen = vault.tapped(lambda part: Tap(part, slowly))
    ingest = seen.threads(receivers=4, batch_size=100, bounds=Bounds(wait_in_flight=True))
    engine = ingest._steps.engine
    summary = Process(ingest).end()
    assert engine.max_held <= 2.5 * HEARTBEATS * 20 / 2
    assert adds_up(summary)
    assert len(vault.database.records) == 300
    assert summary.received < 2 * 300


@pytest.mark.parametrize("most_calls", [1, 16])
def test_a_queue_with_a_delay_is_asked_by_more_threads(most_calls: int) -> None:
    """Within the bound, and no more than what was set without one. Without messages the crews have their least size."""
    vault = FakeVault(RunningClock(1))
    send(vault, 2_000)
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()

    def delayed(name: str, call: Callable[[], Any]) -> object:
        with lock:
            now[name] += 1
            most[name] = max(most[name], now[name])
        time.sleep(0.02 if name in {"receive", "delete"} else 0)
        try:
            return call()
        finally:
            with lock:
                now[name] -= 1

    seen = vault.tapped(lambda part: Tap(part, delayed))
    limits = {"most_calls": most_calls, "max_held_bytes": 256 * MIB, "batch_size": 400}
    ingest = seen.threads(receivers=4, wait=0, bounds=Bounds(follow=True), **limits)
    process, engine = Process(ingest), ingest._steps.engine
    until(lambda: engine.tally.deleted == 2_000)
    until(lambda: (engine.crews.receivers.size, engine.crews.deleters.size) == (4, 2))
    process.signals.first.set()
    summary = process.end()
    assert adds_up(summary)
    assert summary.stored == summary.deleted == len(vault.database.records) == 2_000
    if most_calls == 1:
        assert (most["receive"], most["delete"]) == (4, 2)
    else:
        assert 4 < most["receive"] <= 16
        assert 2 < most["delete"] <= 16


class CountingWriter:
    """Writes nothing, and records how much is held."""

    def __init__(self) -> None:
        self.seals_left: dict[Any, int] = {}
        self.look: Callable[[], object] = lambda: None

    def write(self, messages: Sequence[Message]) -> Written:
        """Record how much is held, and write nothing."""
        self.look()
        return Written([Outcome.STORED] * len(messages), {}, {}, {}, None)


@pytest.mark.parametrize("kib", [200, 1024])
def test_held_messages_are_bounded_in_bytes(kib: int) -> None:
    """Of a backlog of one gibibyte, sixteen mebibytes at most are held."""
    clock = RunningClock(100)
    vault = FakeVault(clock)
    vault.queue.before_delete = None
    body = b"x" * (kib * 1024)
    count = 5_000 if kib == 200 else 1_000
    for _ in range(count):
        vault.queue.send(body)
    ingest = vault.threads(receivers=4, max_held_bytes=16 * MIB, batch_bytes=4 * MIB)
    steps, samples = ingest._steps, []
    writer: Any = CountingWriter()  # in the place of the engine's own
    writer.look = lambda: samples.append((steps.engine.held_bytes, steps.engine.held))
    steps._writer = writer
    summary = Process(ingest).end()
    assert summary.stored == count
    assert 4 * MIB <= max(size for size, _ in samples) <= 16 * MIB


def test_a_change_wakes_only_threads_that_have_work() -> None:
    """Receives, writes and deletes of a thousand messages wake no thread that holds, gives back or observes."""
    vault = FakeVault(RunningClock(1))
    send(vault, 1_000)
    ingest = vault.threads(batch_size=200, tick=PATIENCE_S, bounds=Bounds(max_messages=1_000))
    steps: Any = ingest._steps
    taken = Counter[str]()

    def counted(name: str, step: Callable[..., bool]) -> Callable[..., bool]:
        def take(*arguments: int) -> bool:
            taken[name] += 1
            return step(*arguments)

        return take

    for name in ("receive", "write", "delete", "hold", "give_back", "review"):
        setattr(steps, name, counted(name, getattr(steps, name)))
    assert Process(ingest).end().stored == 1_000
    assert min(taken["receive"], taken["delete"]) >= 100
    assert taken["write"] <= 20
    assert max(taken["hold"], taken["give_back"], taken["review"]) <= 5


def test_an_error_that_waiting_cannot_fix_ends_the_run() -> None:
    """The thread does not matter; uncommitted messages are given back, and the error is raised."""
    clock = RunningClock(100)
    vault = FakeVault(clock)
    send(vault, 10)
    failing = Switch("receive")
    seen = vault.tapped(failing.tap)
    ingest = seen.threads(receivers=3, bounds=Bounds(follow=True), linger=3_600)
    process = Process(ingest)
    until(lambda: ingest._steps.engine.held == 10)
    failing.off(DataError("no SentTimestamp"))
    with pytest.raises(DataError):
        process.end()
    assert ingest.summary().given_back == 10
    assert max(vault.queue.hidden_for()) <= 30


def test_several_processes_share_a_queue() -> None:
    """The queue is all that they share: each message is stored by one of them."""
    clock = RunningClock(100)
    vault = FakeVault(clock)
    send(vault, 500)
    vault.queue.send(login_event(user_id="late"), delay=5)
    processes = [Process(vault.threads(receivers=2, batch_size=40)) for _ in range(3)]
    summaries = [process.end() for process in processes]
    assert sum(summary.stored for summary in summaries) == 501
    assert all(adds_up(summary) for summary in summaries)
    assert vault.queue.message_ids == []
