"""An ingest that runs while things break, seen by its probes, its log and its calls."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.endurance.outages.line import Line, QueueLine, entries
from tests.kit import http
from tests.kit.proxy import FaultProxy, Judge
from tests.kit.vault import Vault
from tests.kit.waiting import until

SECONDS = 60
POLL_S = 1
"""One long poll, where a test asks for no other."""
SETTINGS = {
    "VAULT_ETL_FOLLOW_WAIT": str(POLL_S),
    "VAULT_ETL_DRAIN_WAIT": "0",
    "VAULT_ETL_LINGER": "0.2",
    "VAULT_ETL_LOG_FORMAT": "json",
    "VAULT_ETL_METRICS_ADDRESS": "127.0.0.1:0",
}


class Following:
    """`kms` and `sqs` are the ways to these services, and `queue` has all calls of the latter."""

    def __init__(
        self,
        vault: Vault,
        process: subprocess.Popen[bytes],
        kms: Line,
        sqs: QueueLine,
        queue: FaultProxy,
    ) -> None:
        self.vault = vault
        self.process = process
        self.kms = kms
        self.sqs = sqs
        self.queue = queue
        self._log = log_of(vault)
        self._address = ""

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The log lines so far that are whole, of this event."""
        whole = self._log.read_text(encoding="utf-8").rpartition("\n")[0]
        logged = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in logged if not event or line["event"] == event]

    @property
    def stderr(self) -> str:
        """All of it so far."""
        return self._log.read_text(encoding="utf-8")

    def until(self, holds: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait until it holds, while the process lives."""
        until(holds, seconds, lives=lambda: self.process.poll() is None, told=lambda: self.stderr)

    def readiness(self) -> str:
        """The word that /readyz says."""
        if not self._address:
            self.until(lambda: bool(self.lines("metrics")))
            self._address = self.lines("metrics")[0]["address"]
        return http.get(self._address, "/readyz")[1].decode().strip()

    def until_ready(self) -> None:
        """Wait until /readyz says so."""
        self.until(lambda: self.readiness() == "ok")

    def until_away(self, word: str, seconds: float = SECONDS) -> None:
        """Wait until /readyz says that it is not ready, by this class of error, whichever service has it."""
        self.until(lambda: self.readiness().rpartition(": ")[2] == word, seconds)

    def was_away(self) -> set[str]:
        """The classes of the errors of all the times that it was not ready."""
        return {line["unavailable"].rpartition(": ")[2] for line in self.lines("not ready")}

    def calls(self, operation: str) -> int:
        """Count the calls of an operation of the queue."""
        return self.queue.operations().count(operation)

    def until_settled(self, messages: int) -> None:
        """Wait until so many are committed, and nothing is left on the queue."""
        self.until(lambda: self.rows() == messages)
        self.until(lambda: self.vault.depth() == (0, 0, 0))

    def rows(self) -> int:
        """Count the messages that are stored or quarantined."""
        return self.vault.count("user_logins") + self.vault.count("quarantine")

    def extended(self) -> list[int]:
        """The seconds of all visibility changes that were asked for."""
        return [
            int(str(entry["VisibilityTimeout"]))
            for call in self.queue.calls
            if call.operation == "ChangeMessageVisibilityBatch"
            for entry in entries(call)
        ]

    def most_receives(self) -> int:
        """The highest receive count of any message, by the batches' log lines."""
        return max(int(line["max_receive_count"]) for line in self.lines("batch"))

    def send(self, *numbers: signal.Signals) -> None:
        """Send these, each when the one before it was heard."""
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(0.3)

    def ends(self, code: int, seconds: float = SECONDS) -> dict[str, Any]:
        """Wait for its end, with this exit code; the summary, printed or logged. No delete was early."""
        assert self.process.wait(seconds) == code, self.stderr
        assert self.sqs.early == []
        printed = (self.vault.home / "stdout").read_text(encoding="utf-8")
        stopped = self.lines("ingest stopped")
        summary: dict[str, Any] = json.loads(printed) if printed else (stopped or [{}])[-1]
        if summary:
            ends = ("stored", "duplicates", "quarantined", "already_quarantined", "given_back")
            assert summary["received"] == sum(summary[end] for end in ends), summary
        return summary

    def stop(self) -> dict[str, Any]:
        """SIGTERM, and exit 0; the summary."""
        self.process.send_signal(signal.SIGTERM)
        return self.ends(0)


@contextmanager
def following(
    vault: Vault, *, follow: bool = True, kms: Judge | None = None, **extra: str
) -> Iterator[Following]:
    """`ingest --follow`, or a drain, behind proxies for SQS and KMS.

    `kms` is what the latter is like from the start; a capital word is a setting.
    """
    kms_line, sqs_line = Line(kms), QueueLine(vault)
    with (
        log_of(vault).open("wb") as stderr,
        (vault.home / "stdout").open("wb") as stdout,
        FaultProxy(vault.endpoint, kms_line) as kms_proxy,
        FaultProxy(vault.endpoint, sqs_line) as queue,
    ):
        process = subprocess.Popen(
            vault.command("ingest", *(["--follow"] if follow else []), "--output", "json"),
            env={
                **vault.environment("ingest"),
                **SETTINGS,
                "AWS_ENDPOINT_URL_KMS": kms_proxy.url,
                "AWS_ENDPOINT_URL_SQS": queue.url,
                **extra,
            },
            cwd=vault.home,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            yield Following(vault, process, kms_line, sqs_line, queue)
        finally:
            process.kill()
            process.wait(SECONDS)


def log_of(vault: Vault) -> Path:
    """The file that receives the standard error of a vault's ingest."""
    return vault.home / "stderr"
