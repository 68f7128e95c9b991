"""Reads `keys/vault-etl.template.yaml`, the one declaration of keys, aliases, queues and policies.

CloudFormation makes them on AWS. Here the same file is read for the emulators, so that nothing is
described twice.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from typing import Any

from vault_etl.adapters.resources import resource_dir
from vault_etl.errors import ConfigurationError

TEMPLATE_NAME = "vault-etl.template.yaml"

KEYS = {"data": "DataKey", "token": "TokenKey", "audit": "AuditKey"}
"""Purpose → the name of its key in the template."""

QUEUE, DEAD_LETTER_QUEUE = "LoginQueue", "DeadLetterQueue"

IAM_ROLES = {
    "ingest": "IngestRole",
    "reveal": "RevealRole",
    "rotate": "RotateRole",
    "re-encrypt": "ReEncryptRole",
    "erase": "EraseRole",
    "audit": "AuditRole",
}
"""Role → the name of its IAM role in the template. Owner and analyst may do nothing in AWS."""


class Template:
    """The template's resources; intrinsic functions are resolved against names known by then."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        self._resources = resources

    @classmethod
    @functools.cache
    def load(cls) -> Template:
        """Read the file that came with this installation, once. Raises ConfigurationError."""
        try:
            import yaml  # noqa: PLC0415  # of the extra `local`: other commands do without
        except ImportError:
            raise ConfigurationError(
                "the embedded stack is not installed", hint="pip install 'vault-etl[local]'"
            ) from None
        path = resource_dir("keys") / TEMPLATE_NAME
        try:
            return cls(yaml.safe_load(path.read_text(encoding="utf-8"))["Resources"])
        except FileNotFoundError:
            message = f"this installation of vault-etl has no {TEMPLATE_NAME}"
            raise ConfigurationError(
                message, hint="pip install --force-reinstall vault-etl"
            ) from None

    def properties(self, name: str) -> dict[str, Any]:
        """A resource's properties, as they are written."""
        return dict(self._resources[name]["Properties"])

    def resolved_properties(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """A resource's properties, as far as they can be resolved; the others are left out."""
        resolved = {}
        for key, value in self.properties(name).items():
            with contextlib.suppress(KeyError):
                resolved[key] = resolve(value, names)
        return resolved

    def alias(self, key: str) -> str:
        """The alias that points at the key called `key` in the template."""
        for resource in self._resources.values():
            if resource["Type"] == "AWS::KMS::Alias" and resource["Properties"]["TargetKeyId"] == {
                "Ref": key
            }:
                return str(resource["Properties"]["AliasName"])
        raise KeyError(key)

    def policy(self, role: str, names: Mapping[str, str]) -> dict[str, Any]:
        """All that a role may do, in one document with real ARNs in it. `role` is one of `IAM_ROLES`."""
        return self.role_policy(IAM_ROLES[role], names)

    def role_policy(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """The statements of all policies of the IAM role called `name` in the template."""
        statements = [
            statement
            for policy in self.properties(name)["ManagedPolicyArns"]
            for statement in self.properties(policy["Ref"])["PolicyDocument"]["Statement"]
        ]
        return {"Version": "2012-10-17", "Statement": resolve(statements, names)}


def resolve(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  # any YAML
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
