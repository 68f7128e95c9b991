"""The queue on SQS, and its dead-letter queue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import botocore.exceptions
from typing_extensions import override

from vault_etl.base.errors import ConfigurationError, DataError, UnavailableError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.aws_errors import Subject, translated
from vault_etl.platform.aws_lean_sqs import LeanSqs
from vault_etl.records.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

SERVICE: Final = "SQS"

_STALE: Final = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "InvalidParameterValueException",  # LocalStack's name for it
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)
"""Error codes of a stale handle, and of an extension beyond 12 hours in all.

Any other failure is temporary. `SenderFault` does not distinguish them: throttling is a sender's
fault too, and LocalStack never sets the flag.
"""


class SqsQueue(Queue, QueueGauge):
    """A queue on SQS.

    `receiver` must not retry: a receive whose answer was lost has already hidden its messages. `sqs` makes the calls
    that are neither a receive nor a delete.
    """

    def __init__(
        self,
        sqs: SQSClient,
        receiver: SQSClient | LeanSqs,
        deleter: SQSClient | LeanSqs,
        queue_url: str,
    ) -> None:
        self._sqs = sqs
        self._receiver = receiver
        self._deleter = deleter
        self._url = queue_url
        self._subject = queue_subject(queue_url)

    @classmethod
    def of(cls, clients: AwsClients, queue_url: str, longest_wait: float, *, lean: bool) -> Self:
        """Return the queue, whose messages the lean client receives and deletes, or botocore."""
        sqs = clients.sqs()
        client = LeanSqs.of(clients, longest_wait) if lean else None
        return cls(sqs, client or clients.sqs_receiver(longest_wait), client or sqs, queue_url)

    @override
    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        with translated(SERVICE, self._subject):
            received = self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait_seconds,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
            messages = received.get("Messages", [])
            if not all(map(_is_whole, messages)):
                raise botocore.exceptions.ChecksumError(
                    checksum_type="MD5", expected_checksum="", actual_checksum=""
                )
        return [_message(message) for message in messages]

    @override
    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        with translated(SERVICE, self._subject):
            answer = self._deleter.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": handle}
                    for i, handle in enumerate(receipt_handles)
                ],
            )
        return [receipt_handles[int(failed["Id"])] for failed in answer.get("Failed", [])]

    @override
    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        handles = list(seconds_by_handle)
        with translated(SERVICE, self._subject):
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for i, (handle, seconds) in enumerate(seconds_by_handle.items())
                ],
            )
        failed = answer.get("Failed", [])
        temporary = [entry["Code"] for entry in failed if entry["Code"] not in _STALE]
        if temporary:
            message = f"SQS did not extend {len(temporary)} of {len(handles)} messages"
            raise UnavailableError(message, hint="the extension is tried again")
        return [handles[int(entry["Id"])] for entry in failed]

    @override
    def depth(self) -> QueueDepth:
        with translated(SERVICE, self._subject):
            attributes = self._sqs.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )["Attributes"]
        return QueueDepth(
            visible=int(attributes["ApproximateNumberOfMessages"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
        )

    @override
    def visibility_timeout(self) -> int:
        with translated(SERVICE, self._subject):
            attributes = self._sqs.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["VisibilityTimeout"]
            )["Attributes"]
        return int(attributes["VisibilityTimeout"])


def queue_subject(queue_url: str) -> Subject:
    """Return the name of a queue, for errors."""
    return Subject(queue_url.rstrip("/").rpartition("/")[2], "VAULT_ETL_QUEUE_URL")


def _is_whole(received: MessageTypeDef) -> bool:
    """Tell whether the body has the MD5 that SQS made of it when it was sent. botocore does not compare them."""
    body = received["Body"].encode("utf-8", "surrogatepass")
    return received["MD5OfBody"] == hashlib.md5(body, usedforsecurity=False).hexdigest()


def _message(received: MessageTypeDef) -> Message:
    """Convert a message. A lone surrogate in a body is kept: the parser rejects it as not UTF-8."""
    attributes = received.get("Attributes", {})
    if "SentTimestamp" not in attributes:
        message = "SQS sent no SentTimestamp, from which record ids are derived"
        raise DataError(
            message, hint="check that the queue, or emulator, supports system attributes"
        )
    return Message(
        message_id=received["MessageId"],
        receipt_handle=received["ReceiptHandle"],
        body=Pii(received["Body"].encode("utf-8", "surrogatepass")),
        sent_ms=int(attributes["SentTimestamp"]),
        receive_count=int(attributes.get("ApproximateReceiveCount", "1")),
    )


def queue_name(queue_url: str) -> str:
    """Return the name of a queue: the last part of its URL."""
    return queue_url.rstrip("/").rpartition("/")[2]


def dead_letter_queue_url(sqs: SQSClient, queue_url: str) -> str:
    """Return the URL of the dead-letter queue that a queue's redrive policy names.

    Both queues are in the same account and region, so the URLs differ only in their last part, and
    reading the queue's attributes is the only permission needed. Raises ConfigurationError if the
    queue has no redrive policy, UsageError if the dead-letter queue is a FIFO queue, and the errors
    of SQS.
    """
    with translated(SERVICE, queue_subject(queue_url)):
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    name = _target(answer.get("Attributes", {}).get("RedrivePolicy", "")).rpartition(":")[2]
    if not name:
        message = "the queue has no dead-letter queue"
        raise ConfigurationError(
            message, hint="give it a redrive policy: `vault-etl schema iam` prints one"
        )
    if name.endswith(".fifo"):
        message = "--dead-letters cannot read a FIFO queue"
        raise UsageError(
            message,
            hint="SQS changes the values that record ids are derived from when it moves a message "
            "to a FIFO queue, so messages would be stored twice",
        )
    return f"{queue_url.rstrip('/').rpartition('/')[0]}/{name}"


def _target(redrive_policy: str) -> str:
    """Return the ARN of the dead-letter queue; empty if the queue has none."""
    try:
        policy: Any = json.loads(redrive_policy)
        return str(policy["deadLetterTargetArn"])
    except (KeyError, TypeError, ValueError):
        return ""
