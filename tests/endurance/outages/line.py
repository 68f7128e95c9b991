"""The way to an AWS service, which can be broken, and on which no delete may come before its commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from typing_extensions import override

from tests.kit.proxy import Answer, Call, Judge, Verdict
from tests.kit.vault import Vault

HANG_SECONDS = 60


class Line:
    """A judge of calls: passes all on, but while it is broken."""

    def __init__(self, fault: Judge | None = None) -> None:
        self._fault = fault
        self._mended = threading.Event()
        self.hits = 0
        """How many calls met a fault."""

    def __call__(self, call: Call) -> Verdict:
        """Pass a call on, or judge it by the fault, while there is one."""
        fault = self._fault
        if fault is None:
            return True
        self.hits += 1
        return fault(call)

    @contextmanager
    def broken(self, fault: Judge) -> Iterator[None]:
        """Calls meet this fault while the block runs, and some do."""
        before = self.hits
        self._mended.clear()
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None
            self._mended.set()
        assert self.hits > before

    def break_for_good(self, fault: Judge) -> None:
        """Calls meet this fault from now on: those too that are on the line when their process is dead."""
        self._mended.clear()
        self._fault = fault

    def silence(self, call: Call) -> Verdict:
        """A fault: nothing is answered, and the connection closed when the line is mended."""
        del call
        self._mended.wait(HANG_SECONDS)
        return False


class QueueLine(Line):
    """The way to SQS. `early` says which deletes were asked for before as many rows were committed."""

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._vault = vault
        self._deleting: set[str] = set()
        self.early: list[tuple[int, int]] = []

    @override
    def __call__(self, call: Call) -> Verdict:
        if call.operation == "DeleteMessageBatch":
            self._deleting |= {str(entry["ReceiptHandle"]) for entry in entries(call)}
            committed = self._committed()
            if len(self._deleting) > committed:
                self.early.append((len(self._deleting), committed))
        return super().__call__(call)

    def _committed(self) -> int:
        try:
            return self._vault.count("user_logins") + self._vault.count("quarantine")
        except psycopg2.OperationalError:
            return 0  # away: nothing that was not deleted before can be known to be committed


def always(verdict: Verdict) -> Judge:
    """Every call meets this."""
    return lambda _call: verdict


def refusal(code: str, text: str) -> Answer:
    """An AWS error with its text."""
    return Answer(400, json.dumps({"__type": code, "message": text}).encode())


CLOCK_BEHIND = refusal(
    "InvalidSignatureException",
    "Signature expired: 20260519T000000Z is now earlier than 20260519T001000Z (20260519T001500Z"
    " - 5 min.)",
)
CLOCK_AHEAD = refusal(
    "SignatureDoesNotMatch",
    "Signature not yet current: 20260519T003000Z is still later than 20260519T002000Z"
    " (20260519T001500Z + 5 min.)",
)
"""AWS's own words, of a signature whose only fault is its time."""


def entries(call: Call) -> list[dict[str, object]]:
    """The entries of a call for a batch."""
    found: list[dict[str, object]] = json.loads(call.body)["Entries"]
    return found


def set_visibility(vault: Vault, seconds: int) -> None:
    """Set how long the queue hides a received message."""
    vault.emulator.client("sqs").set_queue_attributes(
        QueueUrl=vault.provisioned.queue_url, Attributes={"VisibilityTimeout": str(seconds)}
    )
