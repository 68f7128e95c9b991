"""The expected answers for the template of a declaration: those of `answers.py`, and those that follow its fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tests.attacks.iam.answers import (
    ADMINISTERED,
    ALLOWED,
    ATTACHED,
    DENIED,
    GUARDED_ALIKE,
    LAKE_WRITERS,
    MAY,
    NEW_KEY,
    NOBODY,
    OF_LAKE,
    OUTSIDE,
    OWN_ROLES,
    PRINCIPALS,
    QUEUE_NAMED,
    ROTATION,
    ROTATORS,
    SENDERS,
    SIGNING,
    SIGNS,
    SILENT,
    calls,
    of_source,
    plain,
    reveals,
)
from tests.attacks.iam.documents import ARCHIVE, AUDIT, DATA, QUEUE, TOKEN
from tests.attacks.iam.questions import REWRAP, Question


@dataclass(frozen=True)  # without slots, for what is computed once
class Answers:
    """The answers of a template whose declaration has these fields. `own_roles`: each has a role of its own."""

    fields: tuple[str, ...]
    own_roles: bool
    lake: bool

    @cached_property
    def attached(self) -> dict[str, tuple[str, ...]]:
        """IAM role → its policies."""
        roles = ATTACHED | {
            f"{name}Role": ("RevealPolicy", "SignPolicy", f"{name}Policy")
            for name in self._own().values()
        }
        of_lake = {role: self._of_lake(role) for role in roles} if self.lake else {}
        return {role: policies + of_lake.get(role, ()) for role, policies in roles.items()}

    @cached_property
    def may(self) -> dict[str, set[Question]]:
        """Managed policy → all that it allows."""
        on_both = {
            call for action in REWRAP for key in (DATA, TOKEN) for call in self._all(action, key)
        }
        return {
            **MAY,
            **(OF_LAKE if self.lake else {}),
            "SealPolicy": self._all("kms:GenerateDataKey", DATA)
            | self._all("kms:Decrypt", TOKEN)
            | of_source("kms:Decrypt"),
            "FieldsPolicy": reveals(*self.fields),
            "RotatePolicy": on_both | of_source(*REWRAP) | plain("kms:DescribeKey", DATA, TOKEN),
            "ReEncryptPolicy": self._all("kms:GenerateDataKeyWithoutPlaintext", TOKEN)
            | self._all("kms:Decrypt", DATA)
            | of_source("kms:GenerateDataKeyWithoutPlaintext"),
            **{f"{name}Policy": reveals(field) for field, name in self._own().items()},
        }

    @cached_property
    def named(self) -> dict[str, dict[str, set[str]]]:
        """Key → action → who is not denied it outright. An action that is not listed is denied to no principal."""
        revealers = {"RevealRole", *(f"{name}Role" for name in self._own().values())}
        return {
            DATA: GUARDED_ALIKE
            | {
                "kms:Decrypt": revealers | {"ReEncryptRole"},
                "kms:GenerateDataKey": {"IngestRole", "ReEncryptRole"},
                "kms:GenerateDataKeyWithoutPlaintext": NOBODY,
            },
            TOKEN: GUARDED_ALIKE
            | {
                "kms:Decrypt": revealers | {"ReEncryptRole", "IngestRole"},
                "kms:GenerateDataKey": NOBODY,
                "kms:GenerateDataKeyWithoutPlaintext": {"ReEncryptRole"},
            },
            AUDIT: SIGNING | {"kms:Sign": revealers | ROTATORS | {"EraseRole", "AuditRole"}},
            ARCHIVE: SIGNING
            | {"kms:Sign": {"OwnerRole"} | (LAKE_WRITERS if self.lake else NOBODY)},
        }

    @cached_property
    def left_to_iam(self) -> dict[str, set[Question]]:
        """Key → what its policy leaves to the account's IAM policies. The rest no IAM policy can allow."""
        actions = {key: ("kms:Decrypt", new, *REWRAP) for key, new in NEW_KEY.items()}
        return {
            key: {call for action in actions[key] for call in self._all(action, key)}
            | (of_source(*actions[key]) if key == TOKEN else set())
            | {call for action in (*ADMINISTERED, *ROTATION) for call in plain(action, key)}
            for key in (DATA, TOKEN)
        } | {
            key: SIGNS[key]
            | {
                call
                for action in (*ADMINISTERED, "kms:GetPublicKey")
                for call in plain(action, key)
            }
            for key in (AUDIT, ARCHIVE)
        }

    def _all(self, action: str, key: str) -> set[Question]:
        """An action for all fields that the key has."""
        return calls(action, key, self.fields + (("quarantine",) if key == DATA else ()))

    def _of_lake(self, role: str) -> tuple[str, ...]:
        proof = ("LakeProofPolicy",)
        if role in LAKE_WRITERS:
            return ("LakeSignPolicy", *proof)
        return proof if role.startswith("Reveal") or role == "AuditRole" else ()

    def _own(self) -> dict[str, str]:
        return {field: OWN_ROLES[field] for field in self.fields} if self.own_roles else {}


def guard_says(
    answers: Answers, principal: str, question: Question, *, producers_named: bool
) -> str:
    """Answer of a key's or queue's own policy to a principal whose IAM policy allows everything."""
    key = question.resource
    if key in (DATA, TOKEN, AUDIT, ARCHIVE):
        if principal not in answers.named[key].get(question.action, PRINCIPALS):
            return DENIED
        allowed = question in answers.left_to_iam[key] and principal != OUTSIDE
    else:
        named = QUEUE_NAMED[key].get(question.action, PRINCIPALS)
        if producers_named and (key, question.action) == (QUEUE, "sqs:SendMessage"):
            named = SENDERS
        if not question.secure or principal not in named:
            return DENIED
        allowed = principal != OUTSIDE
    return ALLOWED if allowed else SILENT
