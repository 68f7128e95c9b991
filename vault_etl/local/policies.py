"""Policies of the emulator's users, derived from the template, and the judgement of a call by them.

A user of the emulator has two policies, as a user of AWS can have:

- an *identity policy*: the template's policy without conditions and resources, because moto judges
  only actions (there, a statement with a key's ARN or with a condition denies everything);
- a *permissions boundary*: the template's policy unchanged. moto ignores the boundary;
  `moto_server.py` judges KMS and SQS calls by it, with `is_allowed`: resource, encryption context
  and all.

On AWS the two together would allow exactly what the template's policy allows.

`is_allowed` makes the emulator refuse where AWS would; it does not prove what AWS would do. AWS's
own evaluation knows key policies, grants, organisations and many more operators. Anything that
`is_allowed` does not understand is denied.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vault_etl.local.template import IAM_ROLES, Template

ADMIN, OPERATOR = "admin", "operator"

ROLES = (*IAM_ROLES, "analyst", OPERATOR, ADMIN)
"""The roles in docs/design.md, Roles; the operator, with all of them except owner; the admin, who may do all."""

# moto names an action by the API call, AWS by the permission.
_CALLS = {
    "kms:ReEncryptFrom": ("kms:ReEncrypt",),
    "kms:ReEncryptTo": ("kms:ReEncrypt",),
    "sqs:ChangeMessageVisibility": (
        "sqs:ChangeMessageVisibility",
        "sqs:ChangeMessageVisibilityBatch",
    ),
    "sqs:DeleteMessage": ("sqs:DeleteMessage", "sqs:DeleteMessageBatch"),
}


def boundary(role: str, template: Template, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the template's policy of a role, resolved, for `is_allowed`."""
    if role == ADMIN:
        return _document([{"Effect": "Allow", "Action": ["*"], "Resource": "*"}])
    return _document(
        {
            name: value for name, value in statement.items() if name != "Sid"
        }  # the operator's would repeat
        for part in _parts(role)
        for statement in template.policy(part, names)["Statement"]
    )


def identity_policy(boundary_document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allowed calls, by moto's names, without resources and conditions."""
    calls = sorted(
        {
            call
            for statement in boundary_document["Statement"]
            if statement["Effect"] == "Allow"
            for action in statement["Action"]
            for call in _CALLS.get(action, (action,))
        }
    )
    return _document([{"Effect": "Allow", "Action": calls, "Resource": "*"}] if calls else [])


def _parts(role: str) -> tuple[str, ...]:
    if role == OPERATOR:
        return tuple(each for each in IAM_ROLES if each != "owner")
    return (role,) if role in IAM_ROLES else ()


def _document(statements: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


BOUNDARY_SUFFIX = "-boundary"
"""The boundary of the user `vault-etl-ingest` is the managed policy `vault-etl-ingest-boundary`."""


@dataclass(frozen=True, slots=True)
class NeededPermission:
    """A permission that a call needs: `kms:Decrypt` on a key's ARN, with its encryption context."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    """Other condition keys of the call: {"kms:ReEncryptOnSameKey": "true"}."""

    def condition_values(self, name: str) -> Sequence[str]:
        """Return the call's values of a condition key; an empty list if the call has none."""
        prefix = "kms:EncryptionContext:"
        if name.startswith(prefix):
            value = self.context.get(name.removeprefix(prefix))
            return [] if value is None else [value]
        if name == "kms:EncryptionContextKeys":
            return list(self.context)
        return [self.keys[name]] if name in self.keys else []


def is_allowed(needed: NeededPermission, statements: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether at least one statement allows the permission, and no statement denies it."""
    effects = {statement["Effect"] for statement in statements if _applies(statement, needed)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], needed: NeededPermission) -> bool:
    return (
        _matches(needed.action, statement["Action"])
        and _matches(needed.resource, statement["Resource"])
        and all(
            _holds(operator, needed.condition_values(name), expected)
            for operator, conditions in statement.get("Condition", {}).items()
            for name, expected in conditions.items()
        )
    )


def _matches(value: str, patterns: str | Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in _as_list(patterns))


def _holds(operator: str, values: Sequence[str], expected: str | Sequence[str]) -> bool:
    match operator:
        case "StringEquals" | "Bool":
            return any(value in _as_list(expected) for value in values)
        case "ForAllValues:StringEquals":
            return all(value in _as_list(expected) for value in values)
        case "Null":
            return ("false" if values else "true") in _as_list(expected)
    message = f"the emulator does not know the condition operator {operator}"
    raise NotImplementedError(message)


def _as_list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
