"""The dead-letter queue of a queue: found with read access to the queue alone; its messages keep their identity."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url
from vault_etl.local.provision import EmulatorSession, Provisioned
from vault_etl.records.messages import Message


@pytest.fixture(scope="module")
def sqs(moto: tuple[str, Provisioned]) -> Any:  # noqa: ANN401 - a client of boto3
    """An SQS client of the emulator's administrator."""
    endpoint, provisioned = moto
    return EmulatorSession(endpoint, provisioned.credentials["admin"]).client("sqs")


def queue(sqs: Any, name: str = "", **attributes: str) -> tuple[str, str]:  # noqa: ANN401 - a client
    """Make a queue. Return its URL and its ARN."""
    made = sqs.create_queue(QueueName=name or f"q-{uuid.uuid4().hex}", Attributes=attributes)
    url = made["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, told["Attributes"]["QueueArn"]


def redrive(target: str, receives: int = 1) -> str:
    """Return a redrive policy."""
    return json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": receives})


def test_the_role_ingest_finds_the_dead_letters_of_its_queue(
    moto: tuple[str, Provisioned],
) -> None:
    """The role's own rights are enough, and allow it to receive and delete there."""
    endpoint, provisioned = moto
    own = EmulatorSession(endpoint, provisioned.credentials["ingest"]).client("sqs")
    url = dead_letter_queue_url(own, provisioned.queue_url)
    assert url == provisioned.dead_letter_url
    admin = EmulatorSession(endpoint, provisioned.credentials["admin"]).client("sqs")
    sent = admin.send_message(QueueUrl=url, MessageBody="dead")["MessageId"]
    dead = SqsQueue(own, own, own, url)
    messages: list[Message] = []
    while not messages:
        messages = [m for m in dead.receive(1) if m.message_id == sent]
    assert list(dead.extend({messages[0].receipt_handle: 30})) == []
    assert list(dead.delete([messages[0].receipt_handle])) == []
    assert dead.visibility_timeout() > 0
    assert dead.depth().visible >= 0


def test_a_dead_letter_keeps_its_identity(sqs: Any) -> None:  # noqa: ANN401 - a client
    """Its id and its time of sending are unchanged, so a message stored before is not stored again."""
    dead_url, dead_arn = queue(sqs)
    url, _ = queue(sqs, VisibilityTimeout="0", RedrivePolicy=redrive(dead_arn))
    sqs.send_message(QueueUrl=url, MessageBody="body")
    living = SqsQueue(sqs, sqs, sqs, url)
    (alive,) = living.receive(0)
    assert list(living.receive(0)) == []
    (dead,) = SqsQueue(sqs, sqs, sqs, dead_letter_queue_url(sqs, url)).receive(1)
    assert dead_letter_queue_url(sqs, url) == dead_url
    assert (dead.message_id, dead.sent_ms) == (alive.message_id, alive.sent_ms)


def test_the_url_keeps_the_host_that_was_set(sqs: Any) -> None:  # noqa: ANN401 - a client
    """The host is that of an emulator or a VPC endpoint; only the name differs."""
    dead_url, dead_arn = queue(sqs)
    url, _ = queue(sqs, RedrivePolicy=redrive(dead_arn))
    base, _, name = url.rpartition("/")
    assert dead_letter_queue_url(sqs, f"{base}/{name}") == f"{base}/{dead_url.rpartition('/')[2]}"


def test_a_queue_without_dead_letters_is_a_configuration_error(sqs: Any) -> None:  # noqa: ANN401 - a client
    """A missing queue is the same kind of error."""
    url, _ = queue(sqs)
    with pytest.raises(ConfigurationError, match="has no dead-letter queue"):
        dead_letter_queue_url(sqs, url)
    with pytest.raises(ConfigurationError, match="no such queue"):
        dead_letter_queue_url(sqs, f"{url}-gone")


def test_a_fifo_queue_of_dead_letters_is_refused(sqs: Any) -> None:  # noqa: ANN401 - a client
    """SQS changes the time of sending there, and so the record id."""
    name = f"q-{uuid.uuid4().hex}"
    _, dead_arn = queue(sqs, f"{name}-dead.fifo", FifoQueue="true")
    url, _ = queue(sqs, f"{name}.fifo", FifoQueue="true", RedrivePolicy=redrive(dead_arn))
    with pytest.raises(UsageError, match="FIFO queue"):
        dead_letter_queue_url(sqs, url)
