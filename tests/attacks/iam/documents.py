"""Every policy of the template, with made-up ARNs in it, by the name that the template gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vault_etl.local.template import Template, resolve

ACCOUNT: Final = "111122223333"
FOREIGN_ACCOUNT: Final = "444455556666"

_KMS: Final = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key"
_SQS: Final = f"arn:aws:sqs:eu-central-1:{ACCOUNT}"

DATA: Final = f"{_KMS}/11111111-1111-4111-8111-111111111111"
TOKEN: Final = f"{_KMS}/22222222-2222-4222-8222-222222222222"
AUDIT: Final = f"{_KMS}/33333333-3333-4333-8333-333333333333"
ARCHIVE: Final = f"{_KMS}/55555555-5555-4555-8555-555555555555"
OWN_KEY: Final = f"{_KMS}/44444444-4444-4444-8444-444444444444"
"""A key of the caller's own, whose policy lets the account do everything with it."""

_LOGINS: Final = f"arn:aws:rds-db:eu-central-1:{ACCOUNT}:dbuser"
LOGIN: Final = f"{_LOGINS}:cluster-ABCDEFGHIJKL01234/iam_ingest"
OTHER_LOGINS: Final = (
    f"{_LOGINS}:cluster-ABCDEFGHIJKL01234/alice_reveal",
    f"{_LOGINS}:db-ZYXWVUTSRQPONMLKJIH/iam_ingest",
)
"""Of a person, and of another database."""

BUCKET: Final = "arn:aws:s3:::cold-archives"
ARCHIVED: Final = f"{BUCKET}/vault/user_logins_2026_03-0a1b2c3d/part-00001.parquet"
OTHER_BUCKET: Final = "arn:aws:s3:::cold-archives-too"
OTHER_OBJECT: Final = f"{OTHER_BUCKET}/report"

QUEUE: Final = f"{_SQS}:vault-etl-logins"
DEAD_LETTERS: Final = f"{_SQS}:vault-etl-logins-dead"
OWN_QUEUE: Final = f"{_SQS}:another"

KEY_POLICIES: Final = {DATA: "DataKey", TOKEN: "TokenKey", AUDIT: "AuditKey", ARCHIVE: "ArchiveKey"}
QUEUE_POLICY: Final = "QueuePolicy"

OPEN_KEY: Final = "a key policy that lets the account do everything"
EVERYTHING: Final = "AdministratorAccess"

ENDPOINT: Final = "vpce-0123456789abcdef0"
VPC: Final = "vpc-0123456789abcdef0"
OTHER_ENDPOINT: Final = "vpce-0fedcba9876543210"
OTHER_VPC: Final = "vpc-0fedcba9876543210"
PRODUCER: Final = f"arn:aws:iam::{ACCOUNT}:role/web"
DATABASE: Final = "cluster-ABCDEFGHIJKL01234"
PARAMETERS: Final = {
    "WorkloadVpcEndpoints": ENDPOINT,
    "WorkloadVpcs": VPC,
    "Producers": PRODUCER,
    "DatabaseResource": DATABASE,
    "ArchiveBucket": BUCKET.rpartition(":")[2],
}
"""Those that switch a rule on by naming something."""

NAMES: Final = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": ACCOUNT,
    "DataKey.Arn": DATA,
    "TokenKey.Arn": TOKEN,
    "AuditKey.Arn": AUDIT,
    "ArchiveKey.Arn": ARCHIVE,
    "LoginQueue.Arn": QUEUE,
    "DeadLetterQueue.Arn": DEAD_LETTERS,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """`kind` is identity, resource or trust."""

    kind: str
    document: Mapping[str, Any]


def policies_of(template: Template) -> dict[str, Policy]:
    """The template's managed policies, key policies, queue policy and (by the role) trust policies."""
    names = {**template.parameters, **NAMES}
    found = {}
    for name, resource in template._resources.items():
        properties = resource["Properties"]
        match resource["Type"]:
            case "AWS::IAM::ManagedPolicy":
                found[name] = Policy("identity", resolve(properties["PolicyDocument"], names))
            case "AWS::IAM::Role":
                found[name] = Policy(
                    "trust", resolve(properties["AssumeRolePolicyDocument"], names)
                )
            case "AWS::KMS::Key":
                found[name] = Policy("resource", resolve(properties["KeyPolicy"], names))
            case "AWS::SQS::QueuePolicy":
                found[name] = Policy("resource", resolve(properties["PolicyDocument"], names))
    return found


def surroundings() -> dict[str, Policy]:
    """Policies beside the template: an administrator's policy, and the policy of another key."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    version = {"Version": "2012-10-17"}
    return {
        EVERYTHING: Policy("identity", version | {"Statement": [allow]}),
        OPEN_KEY: Policy(
            "resource",
            version | {"Statement": [allow | {"Action": "kms:*", "Principal": account}]},
        ),
    }


def attached(template: Template, role: str) -> tuple[str, ...]:
    """The policies of an IAM role of the template."""
    return tuple(ref["Ref"] for ref in template.properties(role)["ManagedPolicyArns"])
