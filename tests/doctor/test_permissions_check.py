"""What KMS allows for each declared field, by a KMS that only answers trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.doctor.permissions import (
    NEEDED,
    NO_FIELD,
    KeyCall,
    Permission,
    PermissionTrial,
    permissions,
)

IP, EMAIL = FieldName("ip"), FieldName("email")
FIELDS = (IP, EMAIL)


@dataclass
class FakeTrial(PermissionTrial):
    """A KMS that answers so, and remembers what it was asked."""

    answer: Callable[[Permission], bool | None]
    asked: list[Permission] = field(default_factory=list)

    @override
    def allows(self, permission: Permission) -> bool | None:
        self.asked.append(permission)
        return self.answer(permission)


def of_fields(*allowed: FieldName) -> FakeTrial:
    """A KMS whose policies list these fields."""
    return FakeTrial(lambda asked: asked.field in allowed)


@pytest.mark.parametrize("role", NEEDED)
def test_all_that_a_role_needs_is_tried_for_each_field(role: str) -> None:
    """And once a field that no vault has, so that a KMS without policies is found out."""
    trial = of_fields(*FIELDS)
    verdict = permissions([role, "audit"], FIELDS, trial)
    assert verdict.ok, verdict
    assert "ip, email" in verdict.detail
    *tried, last = trial.asked
    assert tried == [Permission(*need, name) for name in FIELDS for need in NEEDED[role]]
    assert last.field == NO_FIELD


def test_a_field_that_is_not_deployed_is_a_fault_with_its_calls() -> None:
    """The hint names the template."""
    verdict = permissions(["ingest"], FIELDS, of_fields(IP))
    assert verdict.ok is False
    assert verdict.detail == (
        "KMS denies kms:GenerateDataKey of data keys of email; kms:Decrypt of token keys of email"
    )
    assert "schema iam" in str(verdict.hint)
    assert permissions(["ingest"], FIELDS, of_fields()).ok is False


def test_a_person_may_reveal_some_fields_alone() -> None:
    """The verdict says which; a field of which only one key opens is a fault, as is no field at all."""
    verdict = permissions(["reveal"], FIELDS, of_fields(IP))
    assert (verdict.ok, verdict.detail) == (True, "KMS allows ip, and not email")
    half = FakeTrial(
        lambda asked: (
            asked.field == IP or (asked.field == EMAIL and asked.purpose is KeyPurpose.DATA)
        )
    )
    verdict = permissions(["reveal"], FIELDS, half)
    assert (verdict.ok, verdict.detail) == (False, "KMS denies kms:Decrypt of token keys of email")
    assert permissions(["reveal"], FIELDS, of_fields()).ok is False


def test_a_kms_that_does_not_judge_is_no_proof() -> None:
    """One that ignores the trial is asked once; one that allows every field has no policies."""
    ignoring = FakeTrial(lambda _: None)
    verdict = permissions(["reveal"], FIELDS, ignoring)
    assert (verdict.ok, "ignores the dry run of kms:Decrypt" in verdict.detail) == (None, True)
    assert len(ignoring.asked) == 1
    verdict = permissions(["re_encrypt"], FIELDS, FakeTrial(lambda _: True))
    assert (verdict.ok, "a field that no vault has" in verdict.detail) == (None, True)


def test_other_roles_ask_nothing() -> None:
    """They use no key of a field."""
    trial = of_fields()
    assert permissions(["audit", "erase"], FIELDS, trial).ok is None
    assert trial.asked == []
    assert {call for needs in NEEDED.values() for call, _ in needs} == set(KeyCall)
