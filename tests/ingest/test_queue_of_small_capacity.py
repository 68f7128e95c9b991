"""A queue that can do few requests a second is not asked by ever more threads, so that no answer comes too late."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sqs.process import served_queue
from tests.ingest.threads import Process
from tests.kit.aws_clients import aws_clients
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.vault import PATIENT, FakeVault
from vault_etl.ingest.sources.sqs import SqsQueue
from vault_etl.platform import aws_lean_sqs

pytestmark = pytest.mark.command

MIB = 1024 * 1024
MESSAGES = 300
A_SECOND = 20
"""Requests: the least crews of four and two have their answers after 0.3 s, 25 receivers after more than a second."""


def test_a_queue_of_small_capacity_is_not_overrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one delivery is lost with a receive that gave up, though polls are full and the core is free."""
    monkeypatch.setattr(aws_lean_sqs, "RECEIVE_MARGIN_S", 1)
    bodies = tmp_path / "bodies"
    bodies.write_bytes(login_event() + b"\n")
    vault = FakeVault(RunningClock())
    with (
        served_queue(bodies, MESSAGES, capacity=A_SECOND) as served,
        aws_clients(served.endpoint) as clients,
    ):
        vault.queue = SqsQueue.of(clients, served.queue_url, 0, lean=True)  # type: ignore[assignment]
        ingest = vault.threads(
            receivers=4,
            wait=0,
            most_calls=64,
            max_held_bytes=256 * MIB,
            linger=0.2,
            patience=PATIENT,
        )
        summary = Process(ingest).end()
    assert served.statistics["lost"] == 0
    assert summary.deleted == MESSAGES
    states = vault.observer.states
    assert max(state.receivers for state in states) <= 8
    assert max(state.held_back for state in states) > 0
