"""The queue of the benchmarks answers boto3 as SQS does."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from benchmarks.sqs.actions import Actions
from benchmarks.sqs.messages import RECEIPT_BYTES, REDELIVERED_AFTER, MessageQueue
from benchmarks.sqs.process import ServedQueue, served_queue
from tests.kit.aws_clients import aws_clients
from vault_etl.ingest.sources.sqs import SqsQueue

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

pytestmark = pytest.mark.command

MESSAGES = 30


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of bodies."""
    path = tmp_path_factory.mktemp("queue") / "bodies"
    path.write_text("".join(f'{{"é": {n}}}\n' for n in range(MESSAGES)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def queue(bodies: Path) -> Iterator[ServedQueue]:
    """A queue over TLS that delays its answers."""
    with served_queue(bodies, MESSAGES, delay_ms=5, tls=bodies.parent) as served:
        yield served


@pytest.fixture
def sqs(queue: ServedQueue, bodies: Path) -> SQSClient:
    """A client of it that trusts its certificate."""
    client: SQSClient = boto3.client(
        "sqs",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        endpoint_url=queue.endpoint,
        verify=str(bodies.parent / "ca.pem"),
    )
    return client


def test_messages_are_received_deleted_given_back_and_counted(
    queue: ServedQueue, sqs: SQSClient
) -> None:
    """A message has the members of SQS; a malformed handle is refused as SQS refuses it."""
    url = sqs.get_queue_url(QueueName="any")["QueueUrl"]
    assert url == queue.queue_url
    began = time.monotonic()
    messages = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
    )["Messages"]
    assert time.monotonic() - began >= 0.005
    assert [message["Body"] for message in messages] == [f'{{"é": {n}}}' for n in range(10)]
    first = messages[0]
    assert len(first["ReceiptHandle"]) == RECEIPT_BYTES
    assert first["MD5OfBody"] == hashlib.md5(first["Body"].encode()).hexdigest()  # noqa: S324 - as SQS does
    assert set(first["Attributes"]) == {"SentTimestamp", "ApproximateReceiveCount"}
    entries = [
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
        for n, message in enumerate(messages[1:])
    ]
    bad = {"Id": "bad", "ReceiptHandle": "bad"}
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[*entries, bad])  # type: ignore[list-item]
    assert len(answer["Successful"]) == len(entries)
    assert [failed["Id"] for failed in answer["Failed"]] == ["bad"]
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="bad")
    back = {"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 0}
    sqs.change_message_visibility_batch(QueueUrl=url, Entries=[back])  # type: ignore[list-item]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == str(MESSAGES - 9)
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_receive_waits_for_a_message(queue: ServedQueue, sqs: SQSClient) -> None:
    """A long poll of an empty queue is answered as soon as a message is sent."""
    url = queue.queue_url
    while sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        pass
    entry = {"Id": "0", "MessageBody": "late"}
    send = threading.Timer(
        0.1,
        lambda: sqs.send_message_batch(QueueUrl=url, Entries=[entry]),  # type: ignore[list-item]
    )
    send.start()
    messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    send.join()
    assert [message["Body"] for message in messages] == ["late"]
    assert not sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0).get("Messages")


def test_a_receive_does_not_wait_once_all_is_deleted(bodies: Path) -> None:
    """Long polls of a queue whose messages were all deleted are answered at once: nothing will come."""
    with served_queue(bodies, 1) as served, aws_clients(served.endpoint) as clients:
        queue = SqsQueue.of(clients, served.queue_url, 20, lean=True)
        (message,) = queue.receive(20)
        with ThreadPoolExecutor() as pool:
            waits = pool.submit(queue.receive, 20)
            queue.delete([message.receipt_handle])
            assert list(waits.result(timeout=5)) == []
        began = time.monotonic()
        assert list(queue.receive(20)) == []
        assert time.monotonic() - began < 5


def test_a_queue_tells_its_statistics_at_its_end(bodies: Path) -> None:
    """Counts and times are there once the process has ended."""
    with served_queue(bodies, MESSAGES) as served:
        pass
    told = served.statistics
    assert (told["received"], told["deleted"], told["visible"]) == (0, 0, MESSAGES)
    assert told["calls"] == {}


def test_a_queue_tells_when_shares_of_it_were_deleted() -> None:
    """A quarter and three quarters of the loaded deliveries have their times."""
    queue = MessageQueue()
    queue.add((str(n) for n in range(20)), 0)
    actions, times = Actions(queue, "any"), []
    for _ in range(20):
        _, answer = actions.answer("ReceiveMessage", b"{}")
        (message,) = json.loads(answer)["Messages"]
        actions.answer("DeleteMessage", json.dumps(message).encode())
        times.append(actions.statistics.last_deleted)
    assert (actions.statistics.warm, actions.statistics.most_deleted) == (times[4], times[14])


def test_a_share_of_the_messages_is_delivered_twice() -> None:
    """Every fifth message comes again, later, with another receipt handle; no receive has it twice."""
    queue = MessageQueue()
    count = 2 * REDELIVERED_AFTER
    queue.add((str(n) for n in range(count)), 0, redelivered_percent=20)
    assert queue.visible == count * 6 // 5
    seen = [
        message for _ in range(queue.visible // 10) for message in queue.receive(10, frozenset())
    ]
    assert len(set(seen)) == len(seen)
    assert len({message.partition(b',"ReceiptHandle"')[0] for message in seen}) == count
