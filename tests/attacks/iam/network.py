"""Networks from which the workloads' roles may call: questions to `NetworkPolicy`, and expected answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.attacks.iam.answers import ALLOWED, DENIED, NETWORK, ROLE_ARNS
from tests.attacks.iam.documents import (
    DATA,
    ENDPOINT,
    EVERYTHING,
    OPEN_KEY,
    OTHER_ENDPOINT,
    OTHER_VPC,
    OWN_QUEUE,
    QUEUE,
    VPC,
)
from tests.attacks.iam.questions import SIGNED, Question, context
from tests.attacks.iam.simulator import Request

OWN_NETWORK: Final = "their endpoint, in their VPC"
PLACES: Final[dict[str, dict[str, str]]] = {
    OWN_NETWORK: {"aws:SourceVpce": ENDPOINT, "aws:SourceVpc": VPC},
    "their endpoint, from another VPC": {"aws:SourceVpce": ENDPOINT, "aws:SourceVpc": OTHER_VPC},
    "another endpoint, in their VPC": {"aws:SourceVpce": OTHER_ENDPOINT, "aws:SourceVpc": VPC},
    "another endpoint": {"aws:SourceVpce": OTHER_ENDPOINT, "aws:SourceVpc": OTHER_VPC},
    "the internet": {},
    "a service on their behalf": {"aws:ViaAWSService": "true"},
}
"""Place → the condition keys that a call from there carries."""

_INSIDE: Final = tuple(PLACES)[:3]
_CALLS: Final = (
    Question("kms:Decrypt", DATA, context("token", "ip")),
    Question("kms:GenerateDataKey", DATA, context("data", "ip")),
    Question("kms:Sign", DATA, signed=SIGNED),
    Question("sqs:ReceiveMessage", QUEUE),
    Question("sqs:DeleteMessage", QUEUE),
    Question("sqs:SendMessage", OWN_QUEUE),
)


def network_requests() -> Iterator[tuple[str, Request, str]]:
    """Yield each attempt, its request, and the expected decision, of a role that else may do everything."""
    arn = ROLE_ARNS["IngestRole"]
    for place, sent in PLACES.items():
        for asked in _CALLS:
            guard = OPEN_KEY if asked.action.startswith("kms:") else None
            keys = {"aws:PrincipalArn": arn, **sent, **asked.condition_keys()}
            yield (
                f"{asked.action} by way of {place}",
                Request(arn, asked.action, asked.resource, keys, (EVERYTHING, NETWORK), guard),
                ALLOWED if place in _INSIDE else DENIED,
            )
        # What else a workload does, as to write its log, is not of this policy.
        keys = {"aws:PrincipalArn": arn, **sent}
        log = "arn:aws:logs:eu-central-1:111122223333:log-group:vault-etl:log-stream:1"
        request = Request(arn, "logs:PutLogEvents", log, keys, (EVERYTHING, NETWORK), None)
        yield f"logs:PutLogEvents by way of {place}", request, ALLOWED
