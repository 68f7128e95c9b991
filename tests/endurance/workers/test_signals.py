"""Signals to an ingest with workers: the parent alone gets them, and all that was begun is finished."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.endurance.workers.processes import (
    kill_all,
    listening,
    on_its_terminal,
    running,
    session_of,
    stopped,
    workers_of,
)
from tests.kit.events import events
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until

CTRL_C = b"\x03"
PASS_AFTER_S = 1.0
"""Long enough for a signal to get through to all workers before a call is answered."""


@dataclass(slots=True)
class InTheMiddle:
    """Does something at the first call that makes a data key: messages are in hand then."""

    act: Callable[[], object] = lambda: None
    seen: list[str] = field(default_factory=list)

    def __call__(self, call: Call) -> bool:
        """Judge a call: all pass."""
        if call.operation == "GenerateDataKey":
            self.seen.append(call.operation)
            if len(self.seen) == 1:
                self.act()
            time.sleep(PASS_AFTER_S)
        return True


def test_sigterm_finishes_what_was_begun(quick: Vault) -> None:
    """Exit 0: all that was received is committed and deleted, nothing is in flight or given back."""
    middle = InTheMiddle()
    quick.send(events(40))
    with FaultProxy(quick.endpoint, middle) as kms:
        quick.overrides.update(AWS_ENDPOINT_URL_KMS=kms.url, VAULT_ETL_MAX_HELD="10")
        with running(quick, "--follow") as parent:
            until(lambda: len(middle.seen) >= 2)
            result = stopped(parent, signal.SIGTERM)
    assert result.code == 0, result.stderr
    summary = result.json
    assert summary["received"] == summary["stored"] == summary["deleted"] > 0
    assert quick.count("user_logins") == summary["stored"]
    assert quick.depth() == (40 - summary["stored"], 0, 0)


def test_ctrl_c_on_a_terminal_reaches_the_parent_alone(quick: Vault) -> None:
    """Exit 130 after a clean end: workers that heard it too would have given back what they held."""
    ours, its = pty.openpty()
    middle = InTheMiddle(lambda: os.write(ours, CTRL_C))
    quick.send(events(20))
    try:
        with FaultProxy(quick.endpoint, middle) as kms:
            quick.overrides["AWS_ENDPOINT_URL_KMS"] = kms.url
            parent = on_its_terminal(quick, its, "ingest", "--follow", "--workers", "2")
            try:
                until(lambda: bool(middle.seen))
                sessions = {session_of(worker.pid) for worker in workers_of(parent.pid)}
                _, stderr = parent.communicate(timeout=60)
            finally:
                kill_all(quick)
    finally:
        os.close(its)
        os.close(ours)
    assert len(sessions) == 2
    assert session_of(os.getpid()) not in sessions
    assert parent.pid not in sessions
    assert parent.returncode == 130, stderr
    assert stderr.count(b"finishing the batch in hand") == 1
    assert quick.count("user_logins") == 20
    assert quick.depth() == (0, 0, 0)


def test_a_second_signal_ends_all_at_once(quick: Vault) -> None:
    """Exit 130: nothing is stored, everything is given back, no worker is left, and nothing is printed."""
    middle = InTheMiddle()
    quick.send(events(20))
    with FaultProxy(quick.endpoint, middle) as kms:
        quick.overrides["AWS_ENDPOINT_URL_KMS"] = kms.url
        with running(quick, "--follow") as parent:
            until(lambda: bool(middle.seen))
            workers = workers_of(parent.pid)
            result = stopped(parent, signal.SIGTERM, signal.SIGTERM)
            assert not any(worker.is_running() for worker in workers)
    assert result.code == 130
    assert result.stdout == ""
    assert quick.count("user_logins") == 0
    assert quick.depth() == (0, 20, 0)  # given back: visible again in 5 to 30 seconds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_workers_start_ends_all(quick: Vault, number: signal.Signals) -> None:
    """Workers that are not ready to hear it have nothing in hand; the exit code is the same."""
    with running(quick, "--follow") as parent:
        until(lambda: len(workers_of(parent.pid)) == 2)
        workers = workers_of(parent.pid)
        result = stopped(parent, number)
        assert not any(worker.is_running() for worker in workers)
    assert result.code == (0 if number is signal.SIGTERM else 130), result.stderr
    assert result.json["received"] == 0


def test_idle_workers_end_soon(quick: Vault) -> None:
    """The last long poll returns first, and what it brings goes back."""
    with running(quick, "--follow") as parent:
        until(lambda: listening(quick, 2))
        began = time.monotonic()
        result = stopped(parent, signal.SIGTERM)
    assert result.code == 0, result.stderr
    assert time.monotonic() - began < 10
