"""Every command works in every phase of a rotation, and the rotation finishes."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.cold_function import cold_function
from tests.kit.events import event
from tests.kit.processes import finish
from tests.kit.quarantined import quarantine
from tests.kit.vault import Vault
from tests.rotation.contents import contents, of_bodies, of_events
from tests.rotation.events import MONTHS, RECORDS, dated_events
from tests.rotation.kills import rotate, rotating
from tests.rotation.watch import Watch
from vault_etl import aws_lambda

DEVICE = "dev-00001"
HOLDERS = {"u-3", "u-4", "u-5"}
"""The user who has the value from the beginning."""


class Context:
    """The context of a call of Lambda that may run for a minute."""

    aws_request_id = "8c5f8d9a-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """A minute, in milliseconds."""
        return 60_000


class Day:
    """All operations on a vault in one phase; `phase` is in the names of the users who log in."""

    def __init__(self, vault: Vault) -> None:
        self.loaded: list[str] = []
        self.erased: list[str] = []
        self._vault = vault
        self._holders = set(HOLDERS)

    def passes(self, phase: str, active: int, pending: int | None = None) -> None:
        """Retry, Lambda, find, reveal, erase: each by its role, in a vault with an unfinished rotation."""
        retried, called = self._event(f"retried-{phase}"), self._event(f"lambda-{phase}")
        quarantine(self._vault, retried.encode(), generations=(active, pending))
        moved = self._vault.ok("re-encrypt", "quarantine", "retry", "--all", "--yes").json
        assert moved["moved"] == 1
        assert aws_lambda.handler(_delivered(called), Context()) == {"batchItemFailures": []}
        self.loaded += [retried, called]
        self._finds_and_reveals()
        gone = f"u-{RECORDS - 1 - len(self.erased)}"
        erase = ("erase", "--user-id", gone, "--reason", "a test", "--yes")
        assert self._vault.ok("erase", *erase).json["records"] == 1
        self.erased.append(gone)

    def _event(self, user_id: str) -> str:
        self._holders.add(user_id)
        return event(user_id=user_id, device_id=DEVICE)

    def _finds_and_reveals(self) -> None:
        asked = ("find", "--field", "device_id", "--reason", "a test")
        found = json.loads(self._vault.ok("reveal", *asked, stdin=DEVICE).stdout)
        assert {record["user_id"] for record in found["records"]} == self._holders
        assert found["count"] == len(self._holders)
        ids = [record["record_id"] for record in found["records"]]
        shown = self._vault.ok("reveal", "reveal", *ids, "--reason", "a test").lines
        assert {line["fields"]["device_id"] for line in shown} == {DEVICE}


@pytest.fixture
def function(rotation_filled: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """The vault, for a Lambda function in this process with the rights of the role ingest."""
    with cold_function(rotation_filled, monkeypatch) as cold:
        yield cold


@pytest.mark.timeout(300)
def test_everything_works_in_every_phase(function: Vault) -> None:
    """Data keys half way, token keys half way, and after the cut-over."""
    vault, day = function, Day(function)
    half_way(vault, "data")
    day.passes("data", 1)
    assert rotate(vault).code == 0
    half_way(vault, "token", "--tokens")
    day.passes("token", 1, 2)
    finished = rotate(vault, "--tokens")
    assert finished.code == 0, finished.stderr
    day.passes("after", 2)
    found = contents(vault)
    left = [
        body
        for body in dated_events(RECORDS, MONTHS)
        if json.loads(body)["user_id"] not in day.erased
    ]
    assert found.records == of_events([*left, *day.loaded])
    assert found.bodies == of_bodies(["not json"])
    assert sorted(found.erased) == sorted(day.erased)
    assert found.wrong_tokens == ()


def half_way(vault: Vault, purpose: str, *options: str) -> None:
    """A rotation that was told to stop after a part of its work."""
    with Watch(vault) as watch:
        process = rotating(vault, *options, "--rate", "1")
        watch.until(lambda: 0 < watch.work_left(purpose) < RECORDS)
        process.send_signal(signal.SIGTERM)
        assert finish(process).code == 75
        assert 0 < watch.work_left(purpose) < RECORDS


def _delivered(body: str) -> dict[str, Any]:
    """The event of a call of Lambda."""
    record = {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "a receipt handle",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(round(time.time() * 1000)),
        },
        "eventSource": "aws:sqs",
    }
    return {"Records": [record]}
