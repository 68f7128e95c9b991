"""Judges an AWS call by policy statements: action, resource and encryption context.

An aid of the emulator, so that it says no where AWS would, and no proof that AWS would: AWS's own
evaluation knows key policies, grants, organisations and far more operators. Whatever is not
understood here denies.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BOUNDARY_SUFFIX = "-boundary"
"""The boundary of the user `vault-etl-ingest` is the managed policy `vault-etl-ingest-boundary`."""


@dataclass(frozen=True, slots=True)
class NeededPermission:
    """What a call needs: `kms:Decrypt` on a key's ARN, with its encryption context."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    """Other condition keys of the call: {"kms:ReEncryptOnSameKey": "true"}."""

    def condition_values(self, name: str) -> Sequence[str]:
        """The call's values of a condition key: none where it has none."""
        prefix = "kms:EncryptionContext:"
        if name.startswith(prefix):
            value = self.context.get(name.removeprefix(prefix))
            return [] if value is None else [value]
        if name == "kms:EncryptionContextKeys":
            return list(self.context)
        return [self.keys[name]] if name in self.keys else []


def is_allowed(needed: NeededPermission, statements: Iterable[Mapping[str, Any]]) -> bool:
    """Whether some statement allows it and none denies it."""
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
