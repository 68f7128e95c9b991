"""The expected answers: design.md, section 2, as data. Whatever is not listed here is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.attacks.iam.documents import (
    ACCOUNT,
    ARCHIVE,
    ARCHIVED,
    AUDIT,
    BUCKET,
    DATA,
    DEAD_LETTERS,
    FOREIGN_ACCOUNT,
    LOGIN,
    PRODUCER,
    QUEUE,
    TOKEN,
)
from tests.attacks.iam.questions import GOOD, REWRAP, SIGNED, Question

ALLOWED, DENIED, SILENT = "Allowed", "ExplicitlyDenied", "ImplicitlyDenied"
"""A policy allows, or denies outright, or says nothing, which is a refusal too."""

PURPOSE: Final = {DATA: "data", TOKEN: "token"}
OWN_ROLES: Final = {"ip": "RevealIp", "device_id": "RevealDeviceId", "email": "RevealEmail"}
"""Field → the beginning of the names of its own role and policy."""
SOURCE: Final = GOOD["source", "source"]
"""The context of the source key, which the KMS key of the token keys wraps."""

ATTACHED: Final = {
    "IngestRole": ("IngestPolicy", "SealPolicy"),
    "RevealRole": (
        "RevealPolicy",
        "SignPolicy",
        "FieldsPolicy",
        "RevealQuarantinePolicy",
    ),
    "RotateRole": ("RotatePolicy", "SignPolicy"),
    "ReEncryptRole": ("RotatePolicy", "SignPolicy", "SealPolicy", "ReEncryptPolicy"),
    "EraseRole": ("SignPolicy",),
    "OwnerRole": ("OwnerPolicy",),
    "AuditRole": ("AuditPolicy", "SignPolicy"),
}
"""IAM role → its policies. Fields may have roles of their own besides."""

NETWORK: Final = "NetworkPolicy"
OF_WORKLOADS: Final = frozenset({"IngestRole", "RotateRole", "EraseRole", "AuditRole"})
"""The roles that have that policy too, once the workloads' network is named."""


def calls(action: str, key: str, fields: Iterable[str]) -> set[Question]:
    """An action on a key of the vault, for these fields, in the right context."""
    same_key = True if action in REWRAP else None
    return {Question(action, key, GOOD[PURPOSE[key], field], same_key) for field in fields}


def plain(action: str, *resources: str) -> set[Question]:
    """An action without a context, on each of these resources."""
    return {Question(action, resource) for resource in resources}


SIGNS: Final = {key: {Question("kms:Sign", key, signed=SIGNED)} for key in (AUDIT, ARCHIVE)}


def of_source(*actions: str) -> set[Question]:
    """Actions on the source key."""
    return {
        Question(action, TOKEN, SOURCE, True if action in REWRAP else None) for action in actions
    }


def reveals(*fields: str) -> set[Question]:
    """The calls of a person who reveals these fields."""
    return calls("kms:Decrypt", DATA, fields) | calls("kms:Decrypt", TOKEN, fields)


_DRAIN = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")

MAY: Final[dict[str, set[Question]]] = {
    "SignPolicy": SIGNS[AUDIT] | plain("kms:DescribeKey", AUDIT),
    "OwnerPolicy": SIGNS[ARCHIVE]
    | plain("kms:DescribeKey", ARCHIVE)
    | plain("kms:GetPublicKey", ARCHIVE),
    "IngestPolicy": plain("kms:DescribeKey", DATA, TOKEN)
    | {
        Question(f"sqs:{action}", queue, secure=secure)
        for action in _DRAIN
        for queue in (QUEUE, DEAD_LETTERS)
        for secure in (True, False)  # TLS is the queue's own demand
    },
    "RevealPolicy": plain("kms:DescribeKey", DATA, TOKEN),
    "RevealQuarantinePolicy": calls("kms:Decrypt", DATA, ["quarantine"]),
    "AuditPolicy": plain("kms:GetPublicKey", AUDIT)
    | {
        Question("sqs:GetQueueAttributes", queue, secure=secure)
        for queue in (QUEUE, DEAD_LETTERS)
        for secure in (True, False)
    },
}
"""Managed policy → all that it allows. Those that list fields are in `Answers.may`."""

OF_LAKE: Final = {
    "LakeSignPolicy": SIGNS[ARCHIVE],
    "LakeProofPolicy": plain("kms:DescribeKey", ARCHIVE) | plain("kms:GetPublicKey", ARCHIVE),
}
"""The policies of a template with the lake, beside one that is there once the bucket is named."""

LAKE_WRITERS: Final = {"IngestRole", "ReEncryptRole", "EraseRole"}
"""Who signs sets, and puts their files into the bucket."""


NAMED_ONLY: Final = {
    "IngestLoginPolicy": plain("rds-db:connect", LOGIN),
    "ArchivePolicy": {
        Question(f"s3:{action}Object", ARCHIVED) for action in ("Delete", "Get", "Put")
    }
    | plain("s3:ListBucket", BUCKET),
    "LakeReadPolicy": plain("s3:GetObject", ARCHIVED) | plain("s3:ListBucket", BUCKET),
}
"""What is there once the database is named, ingest's, for one login; and once the bucket is, for archives and sets."""

ATTACHED_ONCE_NAMED: Final = {
    "IngestRole": ("IngestLoginPolicy", "ArchivePolicy"),
    "OwnerRole": ("ArchivePolicy",),
    **dict.fromkeys(("ReEncryptRole", "EraseRole"), ("ArchivePolicy",)),
    **dict.fromkeys(("RevealRole", "RevealIpRole", "RevealDeviceIdRole"), ("LakeReadPolicy",)),
}


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


ROLE_ARNS: Final = {
    "IngestRole": _role("vault-etl-ingest"),
    "RevealRole": _role("vault-etl-reveal"),
    "RevealIpRole": _role("vault-etl-reveal-ip"),
    "RevealDeviceIdRole": _role("vault-etl-reveal-device-id"),
    "RevealEmailRole": _role("vault-etl-reveal-email"),
    "RotateRole": _role("vault-etl-rotate"),
    "ReEncryptRole": _role("vault-etl-re-encrypt"),
    "EraseRole": _role("vault-etl-erase"),
    "OwnerRole": _role("vault-etl-owner"),
    "AuditRole": _role("vault-etl-audit"),
}
"""Each role of any declaration of the tests. A key's policy names those alone that its template has."""

BREAK_GLASS: Final = "break glass"
ROOT: Final = "root user"
PRINCIPALS: Final = ROLE_ARNS | {
    BREAK_GLASS: _role("vault-etl-break-glass"),
    ROOT: f"arn:aws:iam::{ACCOUNT}:root",
    "administrator": _role("administrator"),
    "producer": PRODUCER,
    "look-alike": _role("team/vault-etl-reveal"),
    "other account": f"arn:aws:iam::{FOREIGN_ACCOUNT}:role/vault-etl-reveal",
}
"""Whom the keys and queues are tried with, each holding a policy that allows everything."""

OUTSIDE: Final = "other account"

ROTATORS = {"RotateRole", "ReEncryptRole"}
_KEEPERS = {BREAK_GLASS, ROOT}
NOBODY: set[str] = set()

GUARDED_ALIKE = {
    "kms:Encrypt": NOBODY,
    "kms:GenerateDataKeyPair": NOBODY,
    "kms:GenerateDataKeyPairWithoutPlaintext": NOBODY,
    "kms:ReEncryptFrom": ROTATORS,
    "kms:ReEncryptTo": ROTATORS,
    "kms:CreateGrant": NOBODY,
    "kms:DeleteAlias": _KEEPERS,
    "kms:DisableKey": _KEEPERS,
    "kms:DisableKeyRotation": _KEEPERS,
    "kms:PutKeyPolicy": _KEEPERS,
    "kms:ScheduleKeyDeletion": _KEEPERS,
    "kms:UpdateAlias": _KEEPERS,
}
SIGNING = {
    "kms:CreateGrant": NOBODY,
    "kms:DeleteAlias": _KEEPERS,
    "kms:DisableKey": _KEEPERS,
    "kms:PutKeyPolicy": _KEEPERS,
    "kms:ScheduleKeyDeletion": _KEEPERS,
    "kms:UpdateAlias": _KEEPERS,
}
ADMINISTERED = (
    "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion", "kms:UpdateAlias",
)  # fmt: skip
ROTATION = ("kms:DisableKeyRotation", "kms:EnableKeyRotation")

NEW_KEY = {DATA: "kms:GenerateDataKey", TOKEN: "kms:GenerateDataKeyWithoutPlaintext"}

_READING = tuple(
    f"sqs:{call}" for call in ("ChangeMessageVisibility", "DeleteMessage", "ReceiveMessage")
)
_KEPT = {
    **{
        f"sqs:{action}": _KEEPERS
        for action in (
            "AddPermission", "CancelMessageMoveTask", "DeleteQueue", "PurgeQueue",
            "RemovePermission", "SetQueueAttributes", "StartMessageMoveTask",
        )
    },
}  # fmt: skip
QUEUE_NAMED: Final[dict[str, dict[str, set[str]]]] = {
    QUEUE: _KEPT | {action: {"IngestRole"} for action in _READING},
    # SQS redrives with the rights of the principal who asks for it.
    DEAD_LETTERS: _KEPT
    | {action: {"IngestRole"} | _KEEPERS for action in _READING}
    | {"sqs:SendMessage": NOBODY},
}
"""Queue → action → who is not denied it outright."""

SENDERS: Final = {"producer"} | _KEEPERS
"""Who is not denied sending to the queue, once producers are named."""
