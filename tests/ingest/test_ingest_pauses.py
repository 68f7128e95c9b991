"""Calls that fail are tried again after a pause, however many threads could make them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.ingest.runs import send
from tests.ingest.threads import Process
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.switch import Switch
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from tests.kit.waiting import until
from vault_etl.ingest.run import HEARTBEATS
from vault_etl.ingest.steps import Bounds

MIB = 1024 * 1024
TICK_S = 0.25
"""Real seconds: longest sleep of a thread without work."""


def test_an_outage_of_deletions_is_asked_rarely_by_all_threads_together() -> None:
    """Some ten tries in a minute, whatever the number of deleters. After it everything is deleted."""
    clock = RunningClock(60)
    vault = FakeVault(clock)
    send(vault, 500)
    switch = Switch("delete")
    switch.off()
    process = Process(
        vault.tapped(switch.tap).threads(
            receivers=4,
            deleters=16,
            most_calls=16,
            patience=PATIENT,
            bounds=Bounds(follow=True),
            batch_size=100,
        )
    )
    until(lambda: len(vault.database.records) == 500)
    began, before = clock.monotonic(), switch.refused
    assert before <= 16 + 10
    until(lambda: clock.monotonic() > began + 60)
    assert 1 <= switch.refused - before <= 20
    assert not vault.observer.states[-1].ready
    switch.on()
    until(lambda: vault.queue.message_ids == [])
    process.signals.first.set()
    summary = process.end()
    assert summary.stored == summary.deleted == 500


def test_extensions_that_fail_are_not_repeated_at_each_receive() -> None:
    """Each heartbeat tries again after the sleep of a thread without work."""
    vault = FakeVault(RunningClock(10))
    send(vault, 2_000)
    switch = Switch("extend")
    switch.off()

    def slowly(name: str, call: Callable[[], Any]) -> object:
        time.sleep(0.05 if name == "receive" else 0)
        return call()

    seen = vault.tapped(lambda part: switch.tap(Tap(part, slowly)))
    limits = {"visibility": 20, "batch_size": 5_000, "linger": 3_600, "max_held_bytes": 64 * MIB}
    ingest = seen.threads(receivers=2, tick=TICK_S, bounds=Bounds(follow=True), **limits)
    process = Process(ingest)
    until(lambda: switch.refused > 0)
    before, received = switch.refused, ingest.summary().received
    time.sleep(2 * TICK_S)
    assert ingest.summary().received >= received + 100
    assert switch.refused - before <= HEARTBEATS * 3
    process.signals.first.set()
    process.end()
