"""Queue: a message stays until it is deleted, and is hidden while a receiver holds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.aws_clients import ON_AN_EMULATOR, SQS_CLIENTS
from tests.kit.fakes.faulty_queue import HARMLESS
from tests.kit.queue_bench import VISIBILITY_S, Bench, FakeBench, FaultyBench, SqsBench
from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.queue import QueueDepth
from vault_etl.platform.aws import AwsClients
from vault_etl.records.messages import Message


@pytest.fixture(params=["fake", "faulty", *ON_AN_EMULATOR])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty queue."""
    if request.param == "fake":
        yield FakeBench()
    elif request.param == "faulty":
        yield FaultyBench(HARMLESS)
    else:
        real = SqsBench(request.getfixturevalue("clients"), request.param)
        yield real
        real.delete_queue()


def received(bench: Bench, count: int) -> list[Message]:
    """Return `count` messages, which must be available."""
    messages: list[Message] = []
    while len(messages) < count:
        got = bench.queue.receive(0, min(10, count - len(messages)))
        assert got
        messages += got
    return messages


@pytest.mark.parametrize("body", ["plain", '{"ip": "198.51.100.7"}', "é\u4e2d😀", "\t\n\r", " x "])
def test_a_message_comes_as_it_was_sent(bench: Bench, body: str) -> None:
    """Its body is byte for byte the same as UTF-8, with its id and its time of sending."""
    message_id = bench.send(body)
    (message,) = bench.queue.receive(0)
    assert message.body.expose() == body.encode()
    assert message.message_id == message_id
    assert abs(message.sent_ms - bench.now_ms()) < 60_000
    assert message.receive_count == 1
    assert message.receipt_handle


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_receive_brings_at_most_the_limit(bench: Bench, limit: int) -> None:
    """Twelve messages are available."""
    for number in range(12):
        bench.send(str(number))
    assert 1 <= len(bench.queue.receive(0, limit)) <= limit


def test_a_receive_from_an_empty_queue_brings_no_message(bench: Bench) -> None:
    """The wait does not matter."""
    assert list(bench.queue.receive(0)) == []
    assert list(bench.queue.receive(1)) == []


def test_a_held_message_is_not_visible(bench: Bench) -> None:
    """No receiver gets it before its timeout; then it comes again, with its id and its time."""
    bench.send("body")
    (first,) = bench.queue.receive(0)
    assert list(bench.queue.receive(0)) == []
    bench.wait(VISIBILITY_S)
    (second,) = bench.queue.receive(2)
    assert (second.message_id, second.sent_ms) == (first.message_id, first.sent_ms)
    assert second.receive_count == 2
    assert second.receipt_handle != first.receipt_handle


def test_a_long_poll_receives_a_message_that_becomes_visible(bench: Bench) -> None:
    """The message comes within the wait."""
    bench.send("body", delay=1)
    assert len(bench.queue.receive(5)) == 1


def test_deleted_messages_are_gone_for_good(bench: Bench) -> None:
    """Ten are deleted in one call, and none is reported as left."""
    for number in range(11):
        bench.send(str(number))
    handles = [message.receipt_handle for message in received(bench, 10)]
    assert list(bench.queue.delete(handles)) == []
    assert bench.queue.depth() == QueueDepth(visible=1, in_flight=0, delayed=0)


def test_a_deleted_message_can_be_deleted_again(bench: Bench) -> None:
    """An answer may be lost: the second deletion is not a failure."""
    bench.send("body")
    (message,) = bench.queue.receive(0)
    for _ in range(2):
        assert list(bench.queue.delete([message.receipt_handle])) == []


def test_a_deletion_by_an_older_handle_is_not_a_failure(bench: Bench) -> None:
    """AWS: "the request will succeed, but the message might not be deleted".

    The emulators delete it, the fakes do not. The latest handle does, anywhere.
    """
    bench.send("body")
    (first,) = bench.queue.receive(0)
    bench.wait(VISIBILITY_S)
    (second,) = bench.queue.receive(2)
    assert list(bench.queue.delete([first.receipt_handle])) == []
    assert list(bench.queue.delete([second.receipt_handle])) == []
    assert bench.queue.depth() == QueueDepth(0, 0, 0)


def test_an_unknown_handle_cannot_be_deleted(bench: Bench) -> None:
    """The handle is reported, and the other handles of the call are deleted."""
    bench.send("body")
    (message,) = bench.queue.receive(0)
    left = bench.queue.delete(["never-was", message.receipt_handle])
    assert list(left) == ["never-was"]
    assert bench.queue.depth() == QueueDepth(0, 0, 0)


def test_a_message_can_be_given_back(bench: Bench) -> None:
    """With a visibility of 0 the message is visible at once."""
    bench.send("body")
    (message,) = bench.queue.receive(0)
    assert list(bench.queue.extend({message.receipt_handle: 0})) == []
    (again,) = bench.queue.receive(0)
    assert again.message_id == message.message_id


def test_a_message_can_be_held_for_longer(bench: Bench) -> None:
    """An extension goes beyond the timeout of the receive."""
    bench.send("one")
    bench.send("two")
    one, two = received(bench, 2)
    assert list(bench.queue.extend({one.receipt_handle: 60})) == []
    bench.wait(VISIBILITY_S)
    assert [m.message_id for m in bench.queue.receive(2)] == [two.message_id]


def test_a_handle_gone_stale_cannot_be_extended(bench: Bench) -> None:
    """The handle is reported, and the other handles of the call are extended."""
    bench.send("one")
    bench.send("two")
    one, two = received(bench, 2)
    bench.queue.delete([one.receipt_handle])
    seconds = {one.receipt_handle: 30, "never-was": 30, two.receipt_handle: 30}
    assert set(bench.queue.extend(seconds)) == {one.receipt_handle, "never-was"}
    bench.wait(VISIBILITY_S + 0.3)
    assert bench.queue.depth().in_flight == 1


def test_the_depth_tells_the_three_states_apart(bench: Bench) -> None:
    """The states are visible, in flight, and delayed."""
    for number in range(5):
        bench.send(str(number))
    bench.send("late", delay=60)
    held = received(bench, 2)
    assert bench.queue.depth() == QueueDepth(visible=3, in_flight=2, delayed=1)
    bench.queue.delete([held[0].receipt_handle])
    assert bench.queue.depth() == QueueDepth(visible=3, in_flight=1, delayed=1)


def test_the_visibility_timeout_is_returned(bench: Bench) -> None:
    """The timeout is in seconds."""
    assert bench.queue.visibility_timeout() == VISIBILITY_S


@pytest.mark.parametrize("client", SQS_CLIENTS)
def test_a_missing_queue_is_a_configuration_error(clients: AwsClients, client: str) -> None:
    """No call of the real adapter lets a botocore error through."""
    gone = SqsBench(clients, client)
    gone.delete_queue()
    for attempt in (
        lambda: gone.queue.receive(0),
        lambda: gone.queue.delete(["handle"]),
        lambda: gone.queue.extend({"handle": 1}),
        gone.queue.depth,
    ):
        with pytest.raises(ConfigurationError, match="no such queue"):
            attempt()
