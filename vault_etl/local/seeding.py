"""Puts message bodies on a queue, within the limits of SQS for one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from vault_etl.base.errors import DataError, UnavailableError
from vault_etl.platform.aws_errors import translated
from vault_etl.platform.waiting import retried

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

MAX_ENTRIES: Final = 10
"""Messages in one call: SQS's limit."""

MAX_BYTES: Final = 1 << 20
"""Bytes of one message, and of all messages of one call: SQS's limit since August 2025."""

_ATTEMPTS: Final = 6

Numbered = tuple[int, str]
"""The number of a body, from 1, and the body."""


def send_all(
    sqs: SQSClient, queue_url: str, bodies: Iterable[str], on_sent: Callable[[int], None]
) -> int:
    """Send every body, in order, and return their number. `on_sent` gets the number of each call.

    Raises DataError for a body that SQS does not accept, with its number and never its text, and
    UnavailableError if SQS keeps failing. The bodies sent before stay sent.
    """
    sent = 0
    for batch in _batches(bodies):
        _send(sqs, queue_url, batch)
        sent += len(batch)
        on_sent(len(batch))
    return sent


def _batches(bodies: Iterable[str]) -> Iterator[list[Numbered]]:
    batch: list[Numbered] = []
    total = 0
    for number, body in enumerate(bodies, start=1):
        size = _size(number, body)
        if len(batch) == MAX_ENTRIES or total + size > MAX_BYTES:
            yield batch
            batch, total = [], 0
        batch.append((number, body))
        total += size
    if batch:
        yield batch


def _size(number: int, body: str) -> int:
    try:
        size = len(body.encode())
    except UnicodeEncodeError:
        message = f"body {number} has half of a surrogate pair, which SQS does not accept"
        raise DataError(message) from None
    if not 1 <= size <= MAX_BYTES:
        message = f"body {number} has {size:,} bytes; SQS accepts 1 to {MAX_BYTES:,}"
        raise DataError(message)
    return size


def _send(sqs: SQSClient, queue_url: str, batch: Sequence[Numbered]) -> None:
    """Send a batch. After a partial failure, only the failed messages are sent again."""
    left = list(batch)

    @retried(_PartialFailureError, tries=_ATTEMPTS)
    def send() -> None:
        left[:] = _send_once(sqs, queue_url, left)
        _require_all_sent(left)

    send()


def _require_all_sent(left: Sequence[Numbered]) -> None:
    if left:
        message = f"SQS kept failing for {len(left)} messages of a call"
        raise _PartialFailureError(message, hint="run the command again with the missing messages")


def _send_once(sqs: SQSClient, queue_url: str, batch: Sequence[Numbered]) -> list[Numbered]:
    """Send a batch once. Return the messages that failed by no fault of the sender."""
    with translated("SQS"):
        try:
            answer = sqs.send_message_batch(
                QueueUrl=queue_url,
                Entries=[{"Id": str(i), "MessageBody": body} for i, (_, body) in enumerate(batch)],
            )
        except ClientError as error:
            if "InvalidMessageContents" not in error.response["Error"].get("Code", ""):
                raise
            raise _not_taken(batch[0][0], batch[-1][0]) from None
    failed = answer.get("Failed", [])
    for failure in failed:
        if failure["SenderFault"]:
            number = batch[int(failure["Id"])][0]
            raise _not_taken(number, number)
    return [batch[int(failure["Id"])] for failure in failed]


def _not_taken(first: int, last: int) -> DataError:
    which = f"body {first}" if first == last else f"one of the bodies {first} to {last}"
    return DataError(f"SQS does not accept {which}", hint="control characters are not allowed")


class _PartialFailureError(UnavailableError):
    """Some messages of a call were not sent."""
