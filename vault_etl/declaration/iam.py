"""The CloudFormation template by declaration: keys, queues, and the roles that may open the declared fields.

`keys/vault-etl.template.yaml.jinja` and the parts that it includes are the only source of it. A role's policy lists the
fields, so that no number of fields exceeds the policies that a role may have.
docs/adr/0054-iam-by-declaration.md says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vault_etl.declaration.iam_queues import queues_of
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.templates import environment
from vault_etl.platform.resources import resource_dir

SOURCE: Final = "vault-etl.template.yaml.jinja"

MAX_INLINE: Final = 51_200
"""Bytes of a template in a call of CloudFormation. A template of up to 1 MB is deployed by way of a bucket of S3."""


_KEYS: Final = {
    "data_key": "DataKey",
    "token_key": "TokenKey",
    "audit_key": "AuditKey",
    "archive_key": "ArchiveKey",
}
"""The names of KMS keys in the source, and in the template."""


@dataclass(frozen=True, slots=True)
class OwnRole:
    """A field that has a role of its own: `vault-etl-reveal-` and `dashed`."""

    name: str

    @property
    def dashed(self) -> str:
        """The name in names of IAM: `device-id`."""
        return self.name.replace("_", "-")

    @property
    def id(self) -> str:
        """The name in names of the template, which have letters and digits alone: `DeviceId`, of no other field.

        `_d` is `D`. A `Z` is a `_` before anything but `a` to `y`: `a_1` is `AZ1`, and `a_z` is `AZz`.
        """
        found = re.sub("_([a-y])?", lambda match: (match[1] or "z").upper(), self.name)
        return found[0].upper() + found[1:]


def iam_template(
    declaration: Declaration,
    *,
    role_per_field: bool = False,
    multi_region: bool = False,
    lake: bool = False,
) -> str:
    """Return the template, in YAML, for the fields of a declaration, and the queues of its events.

    Retired fields are stored, and revealed too.

    With `role_per_field`, each field has a role that may reveal it and no other field. With `multi_region`, the keys
    are multi-Region keys, and the roles may use their replicas. With `lake`, ingest, re-encrypt and erase may sign
    manifests with the archive key and keep objects in its bucket, and reveal may read them. Raises ConfigurationError
    if this installation does not have the source.
    """
    names = declaration.field_names
    queues = queues_of(declaration)
    ids = (each for queue in queues for each in (queue.id, queue.dead_id))
    return (
        environment("#%", _source)
        .get_template(SOURCE)
        .render(
            # In quotes: YAML reads a bare `no` as false.
            fields=", ".join(f'"{name}"' for name in names),
            queues=queues,
            queue_arns=", ".join(f"{{Fn::GetAtt: [{each}, Arn]}}" for each in ids),
            own_roles=[OwnRole(name) for name in names] if role_per_field else [],
            multi_region=multi_region,
            lake=lake,
            **{name: _arn(key, multi_region=multi_region) for name, key in _KEYS.items()},
        )
    )


def _source(name: str) -> str:
    """Return the text of a template by its path in `keys/`."""
    return (resource_dir("keys") / name).read_text(encoding="utf-8")


def _arn(key: str, *, multi_region: bool) -> str:
    """Return the resource of a policy that names a KMS key, or each replica of a multi-Region key: all have its id."""
    if multi_region:
        return f'{{Fn::Sub: "arn:${{AWS::Partition}}:kms:*:${{AWS::AccountId}}:key/${{{key}}}"}}'
    return f"{{Fn::GetAtt: [{key}, Arn]}}"
