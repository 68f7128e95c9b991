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
FIELDS: Final = {DATA: ("ip", "device_id", "quarantine"), TOKEN: ("ip", "device_id")}
SOURCE: Final = GOOD["source", "source"]
"""The context of the source key, which the KMS key of the token keys wraps."""

ATTACHED: Final = {
    "IngestRole": ("IngestPolicy", "SealPolicy"),
    "RevealRole": (
        "RevealPolicy",
        "SignPolicy",
        "RevealIpPolicy",
        "RevealDeviceIdPolicy",
        "RevealQuarantinePolicy",
    ),
    "RevealIpRole": ("RevealPolicy", "SignPolicy", "RevealIpPolicy"),
    "RevealDeviceIdRole": ("RevealPolicy", "SignPolicy", "RevealDeviceIdPolicy"),
    "RotateRole": ("RotatePolicy", "SignPolicy"),
    "ReEncryptRole": ("RotatePolicy", "SignPolicy", "SealPolicy", "ReEncryptPolicy"),
    "EraseRole": ("SignPolicy",),
    "OwnerRole": ("OwnerPolicy",),
    "AuditRole": ("AuditPolicy", "SignPolicy"),
}
"""IAM role → its policies."""

NETWORK: Final = "NetworkPolicy"
OF_WORKLOADS: Final = frozenset({"IngestRole", "RotateRole", "AuditRole"})
"""The roles that have that policy too, once the workloads' network is named."""


def _calls(action: str, key: str, fields: Iterable[str] | None = None) -> set[Question]:
    """An action on a key of the vault, for these fields (all that the key has), in the right context."""
    same_key = True if action in REWRAP else None
    return {
        Question(action, key, GOOD[PURPOSE[key], field], same_key)
        for field in fields or FIELDS[key]
    }


def _plain(action: str, *resources: str) -> set[Question]:
    return {Question(action, resource) for resource in resources}


_SIGNS: Final = {key: {Question("kms:Sign", key, signed=SIGNED)} for key in (AUDIT, ARCHIVE)}


def _source(*actions: str) -> set[Question]:
    return {
        Question(action, TOKEN, SOURCE, True if action in REWRAP else None) for action in actions
    }


def _reveals(field: str) -> set[Question]:
    return _calls("kms:Decrypt", DATA, [field]) | _calls("kms:Decrypt", TOKEN, [field])


_DRAIN = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")

MAY: Final[dict[str, set[Question]]] = {
    "SealPolicy": _calls("kms:GenerateDataKey", DATA)
    | _calls("kms:Decrypt", TOKEN)
    | _source("kms:Decrypt"),
    "SignPolicy": _SIGNS[AUDIT] | _plain("kms:DescribeKey", AUDIT),
    "OwnerPolicy": _SIGNS[ARCHIVE]
    | _plain("kms:DescribeKey", ARCHIVE)
    | _plain("kms:GetPublicKey", ARCHIVE),
    "IngestPolicy": _plain("kms:DescribeKey", DATA, TOKEN)
    | {
        Question(f"sqs:{action}", queue, secure=secure)
        for action in _DRAIN
        for queue in (QUEUE, DEAD_LETTERS)
        for secure in (True, False)  # TLS is the queue's own demand
    },
    "RevealPolicy": _plain("kms:DescribeKey", DATA, TOKEN),
    "RevealIpPolicy": _reveals("ip"),
    "RevealDeviceIdPolicy": _reveals("device_id"),
    "RevealQuarantinePolicy": _calls("kms:Decrypt", DATA, ["quarantine"]),
    "RotatePolicy": {
        call for action in REWRAP for key in (DATA, TOKEN) for call in _calls(action, key)
    }
    | _source(*REWRAP)
    | _plain("kms:DescribeKey", DATA, TOKEN),
    "ReEncryptPolicy": _calls("kms:GenerateDataKeyWithoutPlaintext", TOKEN)
    | _calls("kms:Decrypt", DATA)
    | _source("kms:GenerateDataKeyWithoutPlaintext"),
    "AuditPolicy": _plain("kms:GetPublicKey", AUDIT)
    | {
        Question("sqs:GetQueueAttributes", queue, secure=secure)
        for queue in (QUEUE, DEAD_LETTERS)
        for secure in (True, False)
    },
}
"""Managed policy → all that it allows."""


NAMED_ONLY: Final = {
    "IngestLoginPolicy": _plain("rds-db:connect", LOGIN),
    "ArchivePolicy": {
        Question(f"s3:{action}Object", ARCHIVED) for action in ("Delete", "Get", "Put")
    }
    | _plain("s3:ListBucket", BUCKET),
}
"""What is there once the database is named, ingest's, for one login; and once the bucket is, the owner's."""

ATTACHED_ONCE_NAMED: Final = {
    "IngestRole": ("IngestLoginPolicy",),
    "OwnerRole": ("ArchivePolicy",),
}


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


ROLE_ARNS: Final = {
    "IngestRole": _role("vault-etl-ingest"),
    "RevealRole": _role("vault-etl-reveal"),
    "RevealIpRole": _role("vault-etl-reveal-ip"),
    "RevealDeviceIdRole": _role("vault-etl-reveal-device-id"),
    "RotateRole": _role("vault-etl-rotate"),
    "ReEncryptRole": _role("vault-etl-re-encrypt"),
    "EraseRole": _role("vault-etl-erase"),
    "OwnerRole": _role("vault-etl-owner"),
    "AuditRole": _role("vault-etl-audit"),
}

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

_REVEALERS = {"RevealRole", "RevealIpRole", "RevealDeviceIdRole"}
_ROTATORS = {"RotateRole", "ReEncryptRole"}
_KEEPERS = {BREAK_GLASS, ROOT}
_NOBODY: set[str] = set()

_GUARDED_ALIKE = {
    "kms:Encrypt": _NOBODY,
    "kms:GenerateDataKeyPair": _NOBODY,
    "kms:GenerateDataKeyPairWithoutPlaintext": _NOBODY,
    "kms:ReEncryptFrom": _ROTATORS,
    "kms:ReEncryptTo": _ROTATORS,
    "kms:CreateGrant": _NOBODY,
    "kms:DeleteAlias": _KEEPERS,
    "kms:DisableKey": _KEEPERS,
    "kms:DisableKeyRotation": _KEEPERS,
    "kms:PutKeyPolicy": _KEEPERS,
    "kms:ScheduleKeyDeletion": _KEEPERS,
    "kms:UpdateAlias": _KEEPERS,
}
_SIGNING = {
    "kms:CreateGrant": _NOBODY,
    "kms:DeleteAlias": _KEEPERS,
    "kms:DisableKey": _KEEPERS,
    "kms:PutKeyPolicy": _KEEPERS,
    "kms:ScheduleKeyDeletion": _KEEPERS,
    "kms:UpdateAlias": _KEEPERS,
}
NAMED: Final[dict[str, dict[str, set[str]]]] = {
    DATA: _GUARDED_ALIKE
    | {
        "kms:Decrypt": _REVEALERS | {"ReEncryptRole"},
        "kms:GenerateDataKey": {"IngestRole", "ReEncryptRole"},
        "kms:GenerateDataKeyWithoutPlaintext": _NOBODY,
    },
    TOKEN: _GUARDED_ALIKE
    | {
        "kms:Decrypt": _REVEALERS | {"ReEncryptRole", "IngestRole"},
        "kms:GenerateDataKey": _NOBODY,
        "kms:GenerateDataKeyWithoutPlaintext": {"ReEncryptRole"},
    },
    AUDIT: _SIGNING | {"kms:Sign": _REVEALERS | _ROTATORS | {"EraseRole", "AuditRole"}},
    ARCHIVE: _SIGNING | {"kms:Sign": {"OwnerRole"}},
}
"""Key → action → who is not denied it outright. An action that is not listed is denied to no principal."""

_ADMINISTERED = (
    "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion", "kms:UpdateAlias",
)  # fmt: skip
_ROTATION = ("kms:DisableKeyRotation", "kms:EnableKeyRotation")

_NEW_KEY = {DATA: "kms:GenerateDataKey", TOKEN: "kms:GenerateDataKeyWithoutPlaintext"}

LEFT_TO_IAM: Final[dict[str, set[Question]]] = {
    key: {
        call for action in ("kms:Decrypt", _NEW_KEY[key], *REWRAP) for call in _calls(action, key)
    }
    | (_source("kms:Decrypt", _NEW_KEY[key], *REWRAP) if key == TOKEN else set())
    | {call for action in (*_ADMINISTERED, *_ROTATION) for call in _plain(action, key)}
    for key in (DATA, TOKEN)
} | {
    key: {call for action in (*_ADMINISTERED, "kms:GetPublicKey") for call in _plain(action, key)}
    | _SIGNS[key]
    for key in (AUDIT, ARCHIVE)
}
"""Key → what its policy leaves to the account's IAM policies. The rest no IAM policy can allow."""

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
    | {"sqs:SendMessage": _NOBODY},
}
"""Queue → action → who is not denied it outright."""

SENDERS: Final = {"producer"} | _KEEPERS
"""Who is not denied sending to the queue, once producers are named."""


def guard_says(principal: str, question: Question, *, producers_named: bool) -> str:
    """Answer of a key's or queue's own policy to a principal whose IAM policy allows everything."""
    key = question.resource
    if key in NAMED:
        if principal not in NAMED[key].get(question.action, PRINCIPALS):
            return DENIED
        allowed = question in LEFT_TO_IAM[key] and principal != OUTSIDE
    else:
        named = QUEUE_NAMED[key].get(question.action, PRINCIPALS)
        if producers_named and (key, question.action) == (QUEUE, "sqs:SendMessage"):
            named = SENDERS
        if not question.secure or principal not in named:
            return DENIED
        allowed = principal != OUTSIDE
    return ALLOWED if allowed else SILENT
