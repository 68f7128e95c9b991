"""Principals that may assume a role: the questions to the trust policies, and the expected answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tests.attacks.iam.answers import ALLOWED, OF_WORKLOADS, ROLE_ARNS, SILENT
from tests.attacks.iam.documents import ACCOUNT, EVERYTHING, FOREIGN_ACCOUNT
from tests.attacks.iam.simulator import Request

PEOPLE: Final = frozenset(ROLE_ARNS) - {"IngestRole"}

_SERVICE: Final = "ecs-tasks.amazonaws.com"
_ANA: Final = f"arn:aws:iam::{ACCOUNT}:user/ana"


def trust_requests(roles: Iterable[str]) -> Iterator[tuple[str, Request, str]]:
    """Yield each attempt, its request, and the expected decision, for these roles."""
    for role in roles:
        arn = ROLE_ARNS[role]
        tag = f"aws:PrincipalTag/{arn.rpartition('/')[2]}"
        person = ALLOWED if role in PEOPLE else SILENT
        workload = ALLOWED if role in OF_WORKLOADS else SILENT
        right: dict[str, str | list[str]] = {
            "aws:username": "ana",
            "sts:RoleSessionName": "ana",
            "aws:MultiFactorAuthPresent": "true",
            "aws:MultiFactorAuthAge": "3599",
            tag: "yes",
        }

        def ask(
            context: dict[str, str | list[str]],
            principal: str = _ANA,
            action: str = "sts:AssumeRole",
            role: str = role,
            arn: str = arn,
        ) -> Request:
            return Request(principal, action, arn, context, (EVERYTHING,), role)

        def without(
            name: str, right: dict[str, str | list[str]] = right
        ) -> dict[str, str | list[str]]:
            return {key: value for key, value in right.items() if key != name}

        yield f"{role}: a tagged person, second factor, own name", ask(right), person
        yield f"{role}: no tag", ask(without(tag)), SILENT
        yield f"{role}: another tag value", ask(right | {tag: "no"}), SILENT
        other = "aws:PrincipalTag/vault-etl-another"
        yield f"{role}: another role's tag", ask(without(tag) | {other: "yes"}), SILENT
        yield (
            f"{role}: no second factor",
            ask(right | {"aws:MultiFactorAuthPresent": "false"}),
            SILENT,
        )
        stale = right | {"aws:MultiFactorAuthAge": "3600"}
        yield f"{role}: a second factor of an hour ago", ask(stale), SILENT
        yield (
            f"{role}: a second factor of an unknown time",
            ask(without("aws:MultiFactorAuthAge")),
            SILENT,
        )
        yield f"{role}: an access key alone", ask(without("aws:MultiFactorAuthPresent")), SILENT
        yield f"{role}: another's name", ask(right | {"sts:RoleSessionName": "ben"}), SILENT
        yield (
            f"{role}: a role, which has no user name",
            ask(without("aws:username"), f"arn:aws:sts::{ACCOUNT}:assumed-role/administrator/ana"),
            SILENT,
        )
        yield (
            f"{role}: a person of another account",
            ask(right, f"arn:aws:iam::{FOREIGN_ACCOUNT}:user/ana"),
            SILENT,
        )
        tags = without("sts:RoleSessionName")
        yield f"{role}: no name", ask(tags), SILENT
        yield f"{role}: session tags", ask(tags, action="sts:TagSession"), SILENT
        yield (
            f"{role}: the service, for this account",
            ask({"aws:SourceAccount": ACCOUNT}, _SERVICE),
            workload,
        )
        yield (
            f"{role}: session tags by the service",
            ask({"aws:SourceAccount": ACCOUNT}, _SERVICE, "sts:TagSession"),
            SILENT,
        )
        yield f"{role}: the service, that does not say for whom", ask({}, _SERVICE), workload
        yield (
            f"{role}: the service, for another account",
            ask({"aws:SourceAccount": FOREIGN_ACCOUNT}, _SERVICE),
            SILENT,
        )
        yield (
            f"{role}: another service",
            ask({"aws:SourceAccount": ACCOUNT}, "lambda.amazonaws.com"),
            SILENT,
        )
