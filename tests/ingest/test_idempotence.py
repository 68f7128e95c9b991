"""Killed anywhere, ingest loses nothing and stores nothing twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.kit.processes import finish, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Result, Vault, sample_events

VISIBILITY_SECONDS = 4
ONE_BATCH = {"VAULT_ETL_BATCH_SIZE": "100", "VAULT_ETL_LINGER": "30"}


@dataclass(slots=True)
class Killer:
    """Kills a process the moment it makes a call, which is then not passed on, nor is one beside it."""

    operation: str
    pid: int | None = None
    struck: list[str] = field(default_factory=list)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: Call) -> bool:
        """Judge a call."""
        if call.operation != self.operation:
            return True
        with self.one_at_a_time:
            if not self.struck:
                while self.pid is None:
                    time.sleep(0.01)
                os.kill(self.pid, signal.SIGKILL)
                self.struck.append(call.operation)
        return False


@pytest.fixture
def seeded(quick: Vault) -> Vault:
    """The 100 samples on a queue whose messages come back soon."""
    quick.emulator.client("sqs").set_queue_attributes(
        QueueUrl=quick.provisioned.queue_url,
        Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)},
    )
    quick.send(sample_events())
    return quick


def test_killed_after_the_commit_it_stores_nothing_twice(seeded: Vault) -> None:
    """SIGKILL between COMMIT and the first delete: the next run finds every message known, and deletes it."""
    result = run_killed(seeded, "AWS_ENDPOINT_URL_SQS", "DeleteMessageBatch")
    assert result.stdout == ""
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)
    assert seeded.depth() == (0, 100, 0)
    wait_until(lambda: seeded.depth()[0] == 100)
    summary = seeded.ok("ingest", "ingest").json
    assert {name: summary[name] for name in list(summary)[:7]} == {
        "received": 100,
        "stored": 0,
        "duplicates": 99,
        "quarantined": 0,
        "already_quarantined": 1,
        "given_back": 0,
        "deleted": 100,
    }
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)
    assert seeded.depth() == (0, 0, 0)


def test_killed_before_the_commit_it_loses_nothing(seeded: Vault) -> None:
    """SIGKILL after receiving, before anything is stored: the next run stores every message."""
    run_killed(seeded, "AWS_ENDPOINT_URL_KMS", "GenerateDataKey")
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (0, 0)
    wait_until(lambda: seeded.depth()[0] == 100)
    summary = seeded.ok("ingest", "ingest").json
    assert (summary["stored"], summary["quarantined"], summary["deleted"]) == (99, 1, 100)
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)


def run_killed(vault: Vault, endpoint: str, operation: str) -> Result:
    """Run ingest until it makes this call, which kills it."""
    killer = Killer(operation)
    with FaultProxy(vault.endpoint, killer) as proxy:
        extra = {endpoint: proxy.url, **ONE_BATCH}
        ingest = start(vault, "ingest", "ingest", extra=extra)
        killer.pid = ingest.pid
        result = finish(ingest)
    assert killer.struck == [operation]
    assert result.code == -signal.SIGKILL
    return result


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it holds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)
