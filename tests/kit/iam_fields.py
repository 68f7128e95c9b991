"""A field that the emulator's users may have keys of: the step of an administrator of IAM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.vault import Vault
from vault_etl.local.policies import BOUNDARY_SUFFIX

_FIELD = "kms:EncryptionContext:field"


@contextmanager
def allowed(vault: Vault, field: str, *roles: str) -> Iterator[None]:
    """Let these roles have keys of a field, wherever they may have keys of `ip`."""
    iam = vault.emulator.client("iam")
    account = vault.emulator.client("sts").get_caller_identity()["Account"]
    arns = [f"arn:aws:iam::{account}:policy/vault-etl-{role}{BOUNDARY_SUFFIX}" for role in roles]
    for arn in arns:
        version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
        document: Any = version["Document"]
        for statement in document["Statement"]:
            for condition in statement.get("Condition", {}).values():
                if isinstance(fields := condition.get(_FIELD), list) and "ip" in fields:
                    fields.append(field)
        iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True
        )
    try:
        yield
    finally:
        for arn in arns:
            iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
            iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
