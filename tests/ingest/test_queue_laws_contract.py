"""Queue: the guarantees that hold with a bad queue too. Consumers may rely on these, and on no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest

from tests.kit.aws_clients import ON_AN_EMULATOR, SQS_CLIENTS
from tests.kit.fakes.faulty_queue import BAD_DAY
from tests.kit.queue_bench import VISIBILITY_S, Bench, FakeBench, FaultyBench, SqsBench
from vault_etl.base.errors import UnavailableError
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Message

SENT = 50
SEEDS = range(5)
KINDS = 6
"""Of the nine faults, those that a test met at least; else its day was not a bad one."""
CALLS = 1_000
"""Far more than a drain takes: who needs so many would never end."""
EMPTY = QueueDepth(0, 0, 0)
LATE_S = 10
"""How long after its deletion a message may come once more, and more."""

T = TypeVar("T")


@pytest.fixture(params=["fake", *SEEDS, *ON_AN_EMULATOR])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty queue. A number is the seed of a bad queue."""
    if request.param == "fake":
        yield FakeBench()
    elif request.param in SQS_CLIENTS:
        real = SqsBench(request.getfixturevalue("clients"), request.param)
        yield real
        real.delete_queue()
    else:
        bad = FaultyBench(BAD_DAY, request.param)
        yield bad
        assert len(+bad.fallen) >= KINDS


def sure(call: Callable[[], T]) -> T:
    """Repeat a call until it answers. Return the answer."""
    for _ in range(CALLS):
        try:
            return call()
        except UnavailableError:
            continue
    raise AssertionError("no answer ever came")


def received(bench: Bench) -> list[Message]:
    """Return the messages that come now, if any."""
    return list(sure(partial(bench.queue.receive, 1)))


def drain(bench: Bench) -> list[Message]:
    """Receive and delete until the queue counts no message. Return all messages."""
    came: list[Message] = []
    for _ in range(CALLS):
        messages = received(bench)
        came += messages
        for message in messages:
            sure(partial(bench.queue.delete, [message.receipt_handle]))
        if sure(bench.queue.depth) == EMPTY:
            return came
    raise AssertionError("the queue is never empty")


def test_every_sent_message_comes_in_the_end(bench: Bench) -> None:
    """Each time, the message has the id, the time and the body that it was sent with."""
    sent = {bench.send(f"body {number}"): f"body {number}".encode() for number in range(SENT)}
    came = drain(bench)
    assert {message.message_id: message.body.expose() for message in came} == sent
    assert len({(message.message_id, message.sent_ms) for message in came}) == SENT


def test_a_message_that_is_not_deleted_comes_again(bench: Bench) -> None:
    """Holding, extending and giving back do not change that."""
    sent = {bench.send(f"body {number}") for number in range(SENT)}
    held: set[str] = set()
    for _ in range(3):
        for message in received(bench):
            held.add(message.message_id)
            sure(partial(bench.queue.extend, {message.receipt_handle: 1}))
    assert held
    bench.wait(VISIBILITY_S + 1)
    assert {message.message_id for message in drain(bench)} == sent


def test_a_deleted_message_does_not_come_in_the_end(bench: Bench) -> None:
    """It may come for a moment; then the queue is empty, and stays empty."""
    for number in range(SENT):
        bench.send(f"body {number}")
    drain(bench)
    bench.wait(LATE_S if isinstance(bench, FakeBench) else 0)
    assert [received(bench) for _ in range(2)] == [[], []]
    assert sure(bench.queue.depth) == EMPTY
