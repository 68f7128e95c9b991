"""The queue on SQS, and its dead-letter queue."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import botocore.exceptions
from botocore.parsers import ResponseParserError
from typing_extensions import override

from vault_etl.base import logs
from vault_etl.base.errors import ConfigurationError, DataError, UnavailableError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.aws_errors import Subject, translated
from vault_etl.platform.aws_lean_sqs import RECEIVE, LeanSqs
from vault_etl.platform.calls import CallObserver
from vault_etl.records.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType
    from types_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchResultTypeDef,
        DeleteMessageBatchResultTypeDef,
        MessageTypeDef,
    )

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
        observer: CallObserver | None = None,
    ) -> None:
        self._sqs = sqs
        self._receiver = receiver
        self._deleter = deleter
        self._url = queue_url
        self._subject = queue_subject(queue_url)
        self._observer = observer

    @classmethod
    def of(cls, clients: AwsClients, queue_url: str, longest_wait: float, *, lean: bool) -> Self:
        """Return the queue, whose messages the lean client receives and deletes, or botocore."""
        sqs = clients.sqs()
        client = LeanSqs.of(clients, longest_wait) if lean else None
        receiver = client or clients.sqs_receiver(longest_wait)
        return cls(sqs, receiver, client or sqs, queue_url, clients.observer)

    @override
    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        try:
            received = self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait_seconds,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
            return self._whole(received.get("Messages", []))
        except Exception:  # to enter the context of each call would take a tenth of its time
            with self._call():
                raise

    def _whole(self, messages: Sequence[MessageTypeDef]) -> Sequence[Message]:
        """Return the messages whose bodies arrived whole. Raises ChecksumError if there are none of them."""
        try:
            whole = [made for each in messages if (made := _message(each)) is not None]
        except ValueError:
            raise ResponseParserError(SERVICE) from None
        if len(whole) < len(messages):
            self._left(len(messages) - len(whole))
            if not whole:
                raise botocore.exceptions.ChecksumError(
                    checksum_type="MD5", expected_checksum="", actual_checksum=""
                )
        return whole

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        """Translate the errors of a call, and of reading its answer: what is not in SQS's model raises Python's.

        A ValueError is botocore's for wrong settings. One that a value of an answer raises is a ResponseParserError.
        """
        with translated(SERVICE, self._subject):
            try:
                yield
            except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError):
                raise ResponseParserError(SERVICE) from None

    def _left(self, count: int) -> None:
        """Report messages whose bodies did not arrive whole. They stay on the queue."""
        logs.get_logger().warning("bodies not whole", queue=self._subject.name, messages=count)
        if self._observer is not None:
            for _ in range(count):
                self._observer.failed("sqs", RECEIVE, botocore.exceptions.ChecksumError.__name__)

    @override
    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        try:
            answer = self._deleter.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": handle}
                    for i, handle in enumerate(receipt_handles)
                ],
            )
            return list(_not_done(answer, receipt_handles))
        except Exception:  # as in `receive`
            with self._call():
                raise

    @override
    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        handles = list(seconds_by_handle)
        with self._call():
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for i, (handle, seconds) in enumerate(seconds_by_handle.items())
                ],
            )
            failed = _not_done(answer, handles)
        temporary = [code for code in failed.values() if code not in _STALE]
        if temporary:
            message = f"SQS did not extend {len(temporary)} of {len(handles)} messages"
            raise UnavailableError(message, hint="the extension is tried again")
        return list(failed)

    @override
    def depth(self) -> QueueDepth:
        visible, in_flight, delayed = self._numbers(
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        return QueueDepth(visible=visible, in_flight=in_flight, delayed=delayed)

    @override
    def visibility_timeout(self) -> int:
        return self._numbers("VisibilityTimeout")[0]

    def _numbers(self, *names: QueueAttributeNameType) -> list[int]:
        """Return these attributes of the queue."""
        with self._call():
            answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
            try:
                return [int(answer["Attributes"][name]) for name in names]
            except ValueError:
                raise ResponseParserError(SERVICE) from None


def queue_name(queue_url: str) -> str:
    """Return the name of a queue: the last part of its URL."""
    return queue_url.rstrip("/").rpartition("/")[2]


def queue_subject(queue_url: str) -> Subject:
    """Return the name of a queue, for errors."""
    return Subject(queue_name(queue_url), "VAULT_ETL_QUEUE_URL")


def _not_done(
    answer: ChangeMessageVisibilityBatchResultTypeDef | DeleteMessageBatchResultTypeDef,
    handles: Sequence[str],
) -> dict[str, str]:
    """Return the handles that an answer does not name as done, each with its error code, or ""."""
    codes = {entry["Id"]: str(entry["Code"]) for entry in answer.get("Failed", [])}
    done = {entry["Id"] for entry in answer.get("Successful", [])} - codes.keys()
    return {handle: codes.get(str(i), "") for i, handle in enumerate(handles) if str(i) not in done}


def _message(received: MessageTypeDef) -> Message | None:
    """Convert a message. Return None if its body is not whole: it has not the MD5 that SQS made when it was sent.

    botocore does not compare them. A lone surrogate in a body is kept: the parser rejects it as not UTF-8. Raises
    ValueError, or another error of Python, for a message that is not as in SQS's model.
    """
    body = received["Body"].encode("utf-8", "surrogatepass")
    if received["MD5OfBody"] != hashlib.md5(body, usedforsecurity=False).hexdigest():
        return None
    attributes = received.get("Attributes", {})
    if "SentTimestamp" not in attributes:
        message = "SQS sent no SentTimestamp, from which record ids are derived"
        raise DataError(
            message, hint="check that the queue, or emulator, supports system attributes"
        )
    message_id, receipt_handle = received["MessageId"], received["ReceiptHandle"]
    sent_ms = int(attributes["SentTimestamp"])
    if not (message_id.isascii() and receipt_handle.isascii() and sent_ms >= 0):
        raise ValueError("message")
    count = int(attributes.get("ApproximateReceiveCount", "1"))
    return Message(message_id, receipt_handle, Pii(body), sent_ms, count)


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
