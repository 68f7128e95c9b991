"""Puts message bodies on a queue, ten a call, within what SQS takes in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import stamina
from botocore.exceptions import ClientError

from vault_etl.base.errors import DataError, UnavailableError
from vault_etl.platform.aws_failures import translated

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

MAX_ENTRIES: Final = 10
"""Messages in one call: SQS's limit."""

MAX_BYTES: Final = 1 << 20
"""Bytes of one message, and of all messages of one call: SQS's limit since August 2025."""

_ATTEMPTS: Final = 6

Numbered = tuple[int, str]
"""A body, and which one it is: from 1."""


def send_all(
    sqs: SQSClient, queue_url: str, bodies: Iterable[str], on_sent: Callable[[int], None]
) -> int:
    """Send every body, in order; `on_sent` is told how many more went out. How many were sent.

    Raises DataError for a body that SQS does not take, by its number and never its text, and
    UnavailableError if SQS keeps failing. What was sent before that stays sent.
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
        message = f"body {number} holds half of a surrogate pair, which SQS does not take"
        raise DataError(message) from None
    if not 1 <= size <= MAX_BYTES:
        message = f"body {number} has {size:,} bytes; SQS takes 1 to {MAX_BYTES:,}"
        raise DataError(message)
    return size


def _send(sqs: SQSClient, queue_url: str, batch: Sequence[Numbered]) -> None:
    """Send a batch; of a partial failure only what failed is sent again."""
    left = list(batch)
    for attempt in stamina.retry_context(on=_PartialFailureError, attempts=_ATTEMPTS):
        with attempt:
            left = _send_once(sqs, queue_url, left)
            _insist_on_none(left)


def _insist_on_none(left: Sequence[Numbered]) -> None:
    if left:
        message = f"SQS kept failing for {len(left)} messages of a call"
        raise _PartialFailureError(message, hint="run it again with what is missing")


def _send_once(sqs: SQSClient, queue_url: str, batch: Sequence[Numbered]) -> list[Numbered]:
    """What did not go out, through no fault of its own."""
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
    return DataError(f"SQS does not take {which}", hint="control characters are not allowed")


class _PartialFailureError(UnavailableError):
    """Some messages of a call did not go out."""
