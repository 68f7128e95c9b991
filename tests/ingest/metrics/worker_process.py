"""A worker of a test, as a process: it takes its slot from the environment and does as it is told.

Each line of standard input is a list of JSON: the name of a step below, and its arguments. It is
answered by an empty line when it is done.
"""

from __future__ import annotations

import datetime as dt
import json
import sys

from tests.kit.declared import IP, USER_LOGINS
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.ingest.metrics.prometheus import MetricsSlot, PrometheusMetrics
from vault_etl.ingest.observer import BatchReport, IngestState, Movement
from vault_etl.ingest.queue import QueueDepth


class Steps:
    """The steps that a worker can be told to take."""

    def __init__(self) -> None:
        self._metrics = PrometheusMetrics([USER_LOGINS], MetricsSlot.from_environment())

    def receive(self, messages: int) -> None:
        """Count received messages, and the call that brought them."""
        self._metrics.moved(Movement.RECEIVED, messages)
        self._metrics.called("sqs", "ReceiveMessage", 0.02)

    def batch(self, oldest_age: float) -> None:
        """Report an empty batch of that age."""
        self._metrics.batch(
            BatchReport(
                outcomes={},
                stored={},
                reasons={},
                extra_fields={},
                bytes=0,
                seconds=0.1,
                newest_age=oldest_age / 2,
                oldest_age=oldest_age,
                max_receive_count=1,
                cause=None,
            )
        )

    def state(self, *, ready: bool, held: int, visible: int, seals: int) -> None:
        """Report a state."""
        self._metrics.state(
            IngestState(
                ready=ready,
                unavailable=None,
                stuck=None,
                receivers=4,
                deleters=2,
                held_back=0,
                held=held,
                held_bytes=held,
                depth=QueueDepth(visible, 0, 0),
                seals_left={IP: seals},
            )
        )

    def keys(self, days: int, limit: int) -> None:
        """Report the ages of the data keys, and their limit."""
        self._metrics.key_limit(KeyPurpose.DATA, dt.timedelta(days=limit))
        self._metrics.key_age(KeyPurpose.DATA, dt.timedelta(days=days))

    def fail(self, code: str) -> None:
        """Count an error."""
        self._metrics.failed("kms", "Decrypt", code)

    def fail_often(self) -> None:
        """Count errors of more calls and codes than are distinguished."""
        for operation in range(4):
            for number in range(200):
                letters = chr(97 + number // 26) + chr(97 + number % 26)
                self._metrics.failed("kms", "Call" + "abcd"[operation], f"An{letters}Error")

    def call_often(self) -> None:
        """Time twice as many operations as exist."""
        for number in range(40):
            self._metrics.called("service", f"OperationWithALongName{number}", 1)


if __name__ == "__main__":
    steps = Steps()
    for line in sys.stdin:
        step, args, kwargs = json.loads(line)
        getattr(steps, step)(*args, **kwargs)
        sys.stdout.write("\n")
        sys.stdout.flush()
