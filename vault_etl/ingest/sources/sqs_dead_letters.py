"""Which queue holds the dead letters of another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.ingest.sources.sqs import SERVICE, queue_subject
from vault_etl.platform.aws_failures import translated

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient


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
