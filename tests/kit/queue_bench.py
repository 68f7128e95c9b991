"""The queues that the suites run on, each with its other end."""

from __future__ import annotations

import time
import uuid
from typing import Protocol

from typing_extensions import override

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.faulty_queue import Faults, FaultyQueue
from tests.kit.fakes.queue import FakeQueue
from vault_etl.ingest.queue import Queue, QueueGauge
from vault_etl.ingest.sources.sqs import SqsQueue
from vault_etl.platform.aws import AwsClients

VISIBILITY_S = 2


class WholeQueue(Queue, QueueGauge, Protocol):
    """Both ports."""


class Bench(Protocol):
    """A queue with a visibility time-out of 2 s, and the other end of it."""

    queue: WholeQueue

    def send(self, body: str, delay: int = 0) -> str:
        """Put a body on the queue; its message id."""

    def now_ms(self) -> int:
        """The queue's time."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class FakeBench(Bench):
    """A bench in memory."""

    def __init__(self, clock: FakeClock | None = None, queue: FakeQueue | None = None) -> None:
        self._clock = clock or FakeClock()
        self._queue = queue or FakeQueue(self._clock, VISIBILITY_S)
        self.queue: WholeQueue = self._queue

    @override
    def send(self, body: str, delay: int = 0) -> str:
        return self._queue.send(body, delay=delay)

    @override
    def now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    @override
    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)


class FaultyBench(FakeBench):
    """A bench in memory, with faults."""

    def __init__(self, faults: Faults, seed: int = 0) -> None:
        clock = FakeClock()
        queue = FaultyQueue(clock, faults, seed=seed, visibility=VISIBILITY_S)
        super().__init__(clock, queue)
        self.fallen = queue.fallen


class SqsBench(Bench):
    """A bench in the emulator, as its administrator: the role ingest may use no other queue than its own.

    `client` is one of `SQS_CLIENTS`.
    """

    def __init__(self, clients: AwsClients, client: str) -> None:
        self._sqs = sqs = clients.sqs()
        self._url = sqs.create_queue(
            QueueName=f"contract-{uuid.uuid4().hex}",
            Attributes={"VisibilityTimeout": str(VISIBILITY_S)},
        )["QueueUrl"]
        self.queue: WholeQueue = SqsQueue.of(clients, self._url, 20, lean=client == "lean")

    @override
    def send(self, body: str, delay: int = 0) -> str:
        sent = self._sqs.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay)
        return str(sent["MessageId"])

    @override
    def now_ms(self) -> int:
        return int(time.time() * 1000)

    @override
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def delete_queue(self) -> None:
        """Take the whole queue away."""
        self._sqs.delete_queue(QueueUrl=self._url)
