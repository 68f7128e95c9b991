"""Reads the template that `vault-etl schema iam` prints: keys, aliases, queues and policies.

CloudFormation makes these on AWS. The emulators use the same template, so that nothing is declared twice.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.iam import iam_template
from vault_etl.declaration.model import Declaration
from vault_etl.local import INSTALL_HINT

KEYS = {"data": "DataKey", "token": "TokenKey", "audit": "AuditKey", "archive": "ArchiveKey"}
"""Purpose → the name of its key in the template."""

ARCHIVE_BUCKET = "vault-etl-archives"
"""The emulator's bucket for archives of months, a parameter of the template."""

IAM_ROLES = {
    "owner": "OwnerRole",
    "ingest": "IngestRole",
    "reveal": "RevealRole",
    "rotate": "RotateRole",
    "re-encrypt": "ReEncryptRole",
    "erase": "EraseRole",
    "audit": "AuditRole",
}
"""Role → the name of its IAM role in the template. Analysts have no permissions in AWS."""


class Template:
    """The template's resources; intrinsic functions are resolved with the names known at the call.

    Conditions are decided at once: `Fn::If` is replaced by its branch, and a resource whose condition
    is false is left out.
    """

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self.parameters = {
            name: _value(declared, parameters.get(name, declared["Default"]))
            for name, declared in document["Parameters"].items()
        }
        """Parameter → its value: text, or a list."""
        decided = {
            name: _decide(condition, self.parameters)
            for name, condition in document["Conditions"].items()
        }
        self._resources = {
            name: _choose(resource, decided)
            for name, resource in document["Resources"].items()
            if "Condition" not in resource or decided[resource["Condition"]]
        }

    @classmethod
    @functools.cache
    def load(
        cls,
        declaration: Declaration,
        *,
        role_per_field: bool = False,
        lake: bool = False,
        **parameters: str,
    ) -> Template:
        """Read the template of a declaration, once. Raises ConfigurationError.

        `parameters` are CloudFormation parameters; the others have their defaults.
        """
        try:
            import yaml  # noqa: PLC0415  # from the extra `local`, which other commands do not need
        except ImportError:
            raise ConfigurationError(
                "the embedded stack is not installed", hint=INSTALL_HINT
            ) from None
        text = iam_template(declaration, role_per_field=role_per_field, lake=lake)
        # libyaml takes a tenth of the time; not every build of PyYAML has it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return cls(yaml.load(text, Loader=loader), parameters)  # noqa: S506 - both are safe

    @classmethod
    def of_emulator(cls, declaration: Declaration) -> Template:
        """Read the template that the users of the emulator follow: with the lake, and a bucket."""
        return cls.load(declaration, lake=True, ArchiveBucket=ARCHIVE_BUCKET)

    def properties(self, name: str) -> dict[str, Any]:
        """Return a resource's properties, unresolved."""
        return dict(self._resources[name]["Properties"])

    def resolved_properties(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Return a resource's resolved properties; those that cannot be resolved are left out."""
        resolved = {}
        for key, value in self.properties(name).items():
            with contextlib.suppress(KeyError):
                resolved[key] = resolve(value, {**self.parameters, **names})
        return resolved

    def queues(self) -> Sequence[tuple[str, str]]:
        """Return the names of each queue and of its dead-letter queue in the template, in its order."""
        redriven = (
            (name, resource["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0])
            for name, resource in self._resources.items()
            if "RedrivePolicy" in resource["Properties"]
        )
        return list(redriven)

    def alias(self, key: str) -> str:
        """Return the alias of the key called `key` in the template. Raises KeyError."""
        for resource in self._resources.values():
            if resource["Type"] == "AWS::KMS::Alias" and resource["Properties"]["TargetKeyId"] == {
                "Ref": key
            }:
                return str(resource["Properties"]["AliasName"])
        raise KeyError(key)

    def policy(self, role: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Return all permissions of a role, in one document with real ARNs. `role` is one of `IAM_ROLES`."""
        return self.role_policy(IAM_ROLES[role], names)

    def role_policy(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Return the statements of all policies of the IAM role called `name` in the template."""
        statements = [
            statement
            for policy in self.properties(name)["ManagedPolicyArns"]
            for statement in self.properties(policy["Ref"])["PolicyDocument"]["Statement"]
        ]
        return {
            "Version": "2012-10-17",
            "Statement": resolve(statements, {**self.parameters, **names}),
        }


def resolve(value: Any, names: Mapping[str, Any]) -> Any:  # noqa: ANN401  # any YAML
    """Replace `Ref`, `Fn::GetAtt` and `Fn::Sub`; names are {"DataKey.Arn": …, "AWS::Region": …}.

    Raises KeyError for a name that is not known.
    """
    if isinstance(value, list):
        return [resolve(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    match list(value.items()):
        case [("Ref", str(name))]:
            return names[name]
        case [("Fn::GetAtt", [str(name), str(attribute)])]:
            return names[f"{name}.{attribute}"]
        case [("Fn::Sub", str(text))]:
            return re.sub(r"\$\{([^!}]+)\}", lambda found: names[found[1]], text).replace(
                "${!", "${"
            )
    return {key: resolve(item, names) for key, item in value.items()}


def _value(declared: Mapping[str, Any], given: object) -> str | list[str]:
    text = str(given)
    return text.split(",") if declared["Type"] == "CommaDelimitedList" else text


def _decide(condition: Any, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401  # any YAML
    """Return the value of a condition, or of a part. Raises NotImplementedError for other functions."""
    if not isinstance(condition, Mapping):
        return condition
    ((function, value),) = condition.items()
    match function:
        case "Ref":
            return parameters[value]
        case "Fn::Join":
            return value[0].join(_decide(value[1], parameters))
        case "Fn::Equals":
            left, right = (_decide(each, parameters) for each in value)
            return left == right
        case "Fn::Not":
            return not _decide(value[0], parameters)
        case "Fn::Or":
            return any(_decide(each, parameters) for each in value)
    message = f"the template's reader does not know {function} in a condition"
    raise NotImplementedError(message)


_NO_VALUE = {"Ref": "AWS::NoValue"}


def _choose(value: Any, decided: Mapping[str, bool]) -> Any:  # noqa: ANN401  # any YAML
    """Replace `Fn::If` by its branch, and leave out values that are then `AWS::NoValue`."""
    if isinstance(value, list):
        chosen = [_choose(item, decided) for item in value]
        return [item for item in chosen if item != _NO_VALUE]
    if not isinstance(value, Mapping):
        return value
    if "Fn::If" in value:
        name, then, otherwise = value["Fn::If"]
        return _choose(then if decided[name] else otherwise, decided)
    chosen_pairs = {key: _choose(item, decided) for key, item in value.items()}
    return {key: item for key, item in chosen_pairs.items() if item != _NO_VALUE}
