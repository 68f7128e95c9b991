"""The queue on SQS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vault_etl.base.errors import DataError, UnavailableError
from vault_etl.base.pii import Pii
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import QueueDepth
from vault_etl.platform.aws_failures import Subject, translated
from vault_etl.records.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef
import json
from typing import TYPE_CHECKING, Any

from vault_etl.base.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient


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
"""Why a handle can hide its message no longer, or (12 hours in all) not for so long.

Any other failure passes. `SenderFault` does not tell them apart: throttling is an error of the
sender's kind, and LocalStack never sets it.
"""


class SqsQueue:
    """`Queue` and `QueueGauge` on SQS.

    `receiver` must not retry (a receive whose answer was lost has hidden its messages already);
    see `AwsClients.sqs_receiver`.
    """

    def __init__(self, sqs: SQSClient, receiver: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._receiver = receiver
        self._url = queue_url
        self._subject = queue_subject(queue_url)

    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        """See `Queue.receive`."""
        with translated(SERVICE, self._subject):
            received = self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait_seconds,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
        return [_message(message) for message in received.get("Messages", [])]

    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        """See `Queue.delete`."""
        with translated(SERVICE, self._subject):
            answer = self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": handle}
                    for i, handle in enumerate(receipt_handles)
                ],
            )
        return [receipt_handles[int(failed["Id"])] for failed in answer.get("Failed", [])]

    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """See `Queue.extend`."""
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
        passing = [entry["Code"] for entry in failed if entry["Code"] not in _STALE]
        if passing:
            message = f"SQS did not extend {len(passing)} of {len(handles)} messages"
            raise UnavailableError(message, hint="it is tried again")
        return [handles[int(entry["Id"])] for entry in failed]

    def depth(self) -> QueueDepth:
        """See `QueueGauge.depth`."""
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

    def visibility_timeout(self) -> int:
        """See `QueueGauge.visibility_timeout`."""
        with translated(SERVICE, self._subject):
            attributes = self._sqs.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["VisibilityTimeout"]
            )["Attributes"]
        return int(attributes["VisibilityTimeout"])


def queue_subject(queue_url: str) -> Subject:
    """A queue in an error: its name."""
    return Subject(queue_url.rstrip("/").rpartition("/")[2], "VAULT_ETL_QUEUE_URL")


def _message(received: MessageTypeDef) -> Message:
    """A lone surrogate in a body passes here, for the parser to reject as not UTF-8."""
    attributes = received.get("Attributes", {})
    if "SentTimestamp" not in attributes:
        message = "SQS told no SentTimestamp, which record ids are made of"
        raise DataError(message, hint="does this queue, or emulator, support system attributes?")
    return Message(
        message_id=received["MessageId"],
        receipt_handle=received["ReceiptHandle"],
        body=Pii(received["Body"].encode("utf-8", "surrogatepass")),
        sent_ms=int(attributes["SentTimestamp"]),
        receive_count=int(attributes.get("ApproximateReceiveCount", "1")),
    )


def dead_letter_queue_url(sqs: SQSClient, queue_url: str) -> str:
    """The URL of the dead-letter queue that a queue's redrive policy names.

    SQS takes none of another account or region, so the two URLs differ in their last part alone,
    and no right is needed but to read the queue's attributes. Raises ConfigurationError if the
    queue has no redrive policy, UsageError if the dead-letter queue is a FIFO queue, and what SQS
    says.
    """
    with translated(SERVICE, queue_subject(queue_url)):
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    name = _target(answer.get("Attributes", {}).get("RedrivePolicy", "")).rpartition(":")[2]
    if not name:
        message = "the queue has no dead-letter queue"
        raise ConfigurationError(
            message, hint="its redrive policy names one: keys/vault-etl.template.yaml"
        )
    if name.endswith(".fifo"):
        message = "--dead-letters reads no FIFO queue"
        raise UsageError(
            message,
            hint="SQS changes what identities are made of when it moves a message to one, so what "
            "was stored before would be stored twice",
        )
    return f"{queue_url.rstrip('/').rpartition('/')[0]}/{name}"


def _target(redrive_policy: str) -> str:
    """The ARN of the dead-letter queue; empty if there is none."""
    try:
        policy: Any = json.loads(redrive_policy)
        return str(policy["deadLetterTargetArn"])
    except (KeyError, TypeError, ValueError):
        return ""
