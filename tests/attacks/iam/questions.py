"""Questions to the policies: every action that matters, key or queue, encryption context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.attacks.iam.documents import (
    ARCHIVE,
    ARCHIVED,
    AUDIT,
    BUCKET,
    DATA,
    DEAD_LETTERS,
    LOGIN,
    OTHER_BUCKET,
    OTHER_LOGINS,
    OTHER_OBJECT,
    OWN_KEY,
    OWN_QUEUE,
    QUEUE,
    TOKEN,
)

KEYS: Final = (DATA, TOKEN, AUDIT, ARCHIVE, OWN_KEY)
BUCKETS: Final = (BUCKET, ARCHIVED, OTHER_BUCKET, OTHER_OBJECT)
QUEUES: Final = (QUEUE, DEAD_LETTERS, OWN_QUEUE)

WITH_CONTEXT: Final = (
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
)
REWRAP: Final = ("kms:ReEncryptFrom", "kms:ReEncryptTo")
WITHOUT_CONTEXT: Final = (
    "kms:CreateGrant",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKeyRotation",
    "kms:GetPublicKey",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:UpdateAlias",
)
WITH_SIGNATURE: Final = ("kms:Sign", "kms:Verify")
OF_QUEUES: Final = (
    "sqs:AddPermission",
    "sqs:CancelMessageMoveTask",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:DeleteQueue",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:PurgeQueue",
    "sqs:ReceiveMessage",
    "sqs:RemovePermission",
    "sqs:SendMessage",
    "sqs:SetQueueAttributes",
    "sqs:StartMessageMoveTask",
)

OF_BUCKETS: Final = (
    "s3:AbortMultipartUpload",
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucket",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutBucketPolicy",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectRetention",
)

Context = tuple[tuple[str, str], ...]
"""An encryption context, hashable."""


def context(purpose: str, field: str, **changes: str) -> Context:
    """The context of key 7, with pairs changed or added."""
    pairs = {"app": "vault-etl", "purpose": purpose, "field": field, "key_id": "7", **changes}
    return tuple(pairs.items())


GOOD: Final = {
    (purpose, field): context(purpose, field)
    for purpose in ("data", "token", "source")
    for field in ("ip", "device_id", "email", "quarantine", "source")
}
"""Well-formed ones. Some are still nobody's: quarantined bodies have no token, the source key no field, and not every
declaration has each field."""


def _bad(purpose: str, field: str) -> tuple[Context, ...]:
    right = context(purpose, field)
    return (
        (),
        context(purpose, "user_id"),
        context(purpose, field, app="another"),
        context("audit", field),
        *(tuple(pair for pair in right if pair != left_out) for left_out in right),
        context(purpose, field, more="x"),
        # KMS takes names that differ in case alone for different ones, and conditions do not.
        tuple(("Field", value) if name == "field" else (name, value) for name, value in right),
    )


BAD: Final = {
    key: tuple(
        dict.fromkeys(
            bad for right, field in GOOD if right in purposes for bad in _bad(right, field)
        )
    )
    for key, purposes in ((DATA, {"data"}), (TOKEN, {"token", "source"}))
}
"""Key → contexts that no principal may use with the key."""


Signed = tuple[tuple[str, str], ...]
"""What a call of Sign says of its message and its algorithm, hashable."""

SIGNED: Final[Signed] = (("kms:MessageType", "RAW"), ("kms:SigningAlgorithm", "ECDSA_SHA_256"))
"""How the head of the log is signed."""

OTHERWISE_SIGNED: Final[tuple[Signed, ...]] = (
    (),
    SIGNED[:1],
    SIGNED[1:],
    (("kms:MessageType", "DIGEST"), SIGNED[1]),
    (SIGNED[0], ("kms:SigningAlgorithm", "ECDSA_SHA_384")),
)
"""Requests that no principal may sign: a digest, which may be of anything; another algorithm; and either not said."""


@dataclass(frozen=True, slots=True)
class Question:
    """May it be done? `same_key` is of rewraps alone, `signed` of signatures, `secure` of queues."""

    action: str
    resource: str
    context: Context = ()
    same_key: bool | None = None
    secure: bool = True
    signed: Signed = ()

    def condition_keys(self) -> dict[str, str | list[str]]:
        """Return the condition keys that AWS sends to the policies with such a request of any principal."""
        if self.action.startswith("sqs:"):
            return {"aws:SecureTransport": str(self.secure).lower()}
        sent: dict[str, str | list[str]] = {
            f"kms:EncryptionContext:{name}": value for name, value in self.context
        }
        if self.context:
            sent["kms:EncryptionContextKeys"] = [name for name, _ in self.context]
        if self.same_key is not None:
            sent["kms:ReEncryptOnSameKey"] = str(self.same_key).lower()
        return sent | dict(self.signed)


def questions() -> Iterator[Question]:
    """All of them."""
    for key in KEYS:
        for pairs in (*GOOD.values(), *BAD.get(key, ())):
            yield from (Question(action, key, pairs) for action in WITH_CONTEXT)
            for same_key in (True, False):
                yield from (Question(action, key, pairs, same_key) for action in REWRAP)
        yield from (Question(action, key) for action in WITHOUT_CONTEXT)
        for action in WITH_SIGNATURE:
            for how in (SIGNED, *OTHERWISE_SIGNED):
                yield Question(action, key, signed=how)
    for queue in QUEUES:
        for action in OF_QUEUES:
            yield Question(action, queue)
            yield Question(action, queue, secure=False)
    for resource in BUCKETS:
        yield from (Question(action, resource) for action in OF_BUCKETS)
    for login in (LOGIN, *OTHER_LOGINS):
        yield Question("rds-db:connect", login)
