"""Senders that the table of principals leaves out, and the expected answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.attacks.iam.answers import ALLOWED, DENIED, PRINCIPALS, SILENT
from tests.attacks.iam.documents import DEAD_LETTERS, EVERYTHING, QUEUE, QUEUE_POLICY
from tests.attacks.iam.simulator import Request

_SERVICE: Final = "sns.amazonaws.com"


def producer_requests(*, named: bool) -> Iterator[tuple[str, Request, str]]:
    """Yield each attempt, its request, and the expected decision. `named`: the template names producers."""
    for queue in (QUEUE, DEAD_LETTERS):
        service = {"aws:PrincipalIsAWSService": "true", "aws:SecureTransport": "true"}
        yield (
            f"a service sends to {queue}: not denied, so that one can be allowed; and not allowed",
            Request(_SERVICE, "sqs:SendMessage", queue, service, (), QUEUE_POLICY),
            SILENT,
        )
        for name in ("producer", "administrator"):
            closed = queue == DEAD_LETTERS or (named and name == "administrator")
            arn = PRINCIPALS[name]
            sent = service | {"aws:PrincipalArn": arn, "aws:PrincipalIsAWSService": "false"}
            yield (
                f"{name}, who is no service, sends to {queue}",
                Request(arn, "sqs:SendMessage", queue, sent, (EVERYTHING,), QUEUE_POLICY),
                DENIED if closed else ALLOWED,
            )
    nameless = {"aws:SecureTransport": "true"}
    yield (
        f"who says no ARN sends to {QUEUE}",
        Request(
            PRINCIPALS["producer"], "sqs:SendMessage", QUEUE, nameless, (EVERYTHING,), QUEUE_POLICY
        ),
        DENIED if named else ALLOWED,
    )
