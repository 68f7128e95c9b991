"""What KMS allows for each declared field, by a KMS that only answers trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from vault_etl.crypto.fields import QUARANTINE, FieldName, KeyPurpose
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
    """And each call of quarantine's data keys, and of a field that no vault has."""
    trial = of_fields(*FIELDS, QUARANTINE)
    verdict = permissions([role, "audit"], FIELDS, trial)
    assert verdict.ok, verdict
    assert "ip, email, quarantine" in verdict.detail
    of_data = [need for need in NEEDED[role] if need[1] is KeyPurpose.DATA]
    assert trial.asked == [
        *(Permission(*need, name) for name in FIELDS for need in NEEDED[role]),
        *(Permission(*need, QUARANTINE) for need in of_data),
        *(Permission(*need, NO_FIELD) for need in NEEDED[role]),
    ]


@pytest.mark.parametrize(
    ("role", "call"), [(role, call) for role, calls in NEEDED.items() for call in calls]
)
def test_one_call_that_is_open_to_every_field_is_not_good(
    role: str, call: tuple[KeyCall, KeyPurpose]
) -> None:
    """The verdict names it, whatever the policies of the other calls list."""
    wide = FakeTrial(lambda asked: asked.field != NO_FIELD or (asked.call, asked.purpose) == call)
    verdict = permissions([role], FIELDS, wide)
    says = f"also allows {call[0]} of {call[1].value} keys of a field that no vault has"
    assert (verdict.ok, says in verdict.detail) == (None, True), verdict


@pytest.mark.parametrize("role", ["ingest", "re_encrypt"])
def test_a_key_of_quarantine_that_is_denied_is_a_fault(role: str) -> None:
    """These roles seal quarantined bodies, and a person who reveals may be without them."""
    verdict = permissions([role], FIELDS, of_fields(*FIELDS))
    assert (verdict.ok, "of data keys of quarantine" in verdict.detail) == (False, True)
    verdict = permissions(["reveal"], FIELDS, of_fields(*FIELDS))
    assert (verdict.ok, verdict.detail) == (True, "KMS allows ip, email, and not quarantine")
    assert permissions(["reveal"], FIELDS, of_fields(QUARANTINE)).ok is False


def test_a_field_that_is_not_deployed_is_a_fault_with_its_calls() -> None:
    """The hint names the template."""
    verdict = permissions(["ingest"], FIELDS, of_fields(IP, QUARANTINE))
    assert verdict.ok is False
    assert verdict.detail == (
        "KMS denies kms:GenerateDataKey of data keys of email; kms:Decrypt of token keys of email"
    )
    assert "schema iam" in str(verdict.hint)
    assert permissions(["ingest"], FIELDS, of_fields()).ok is False


def test_a_person_may_reveal_some_fields_alone() -> None:
    """The verdict says which; a field of which only one key opens is a fault, as is no field at all."""
    verdict = permissions(["reveal"], FIELDS, of_fields(IP))
    assert (verdict.ok, verdict.detail) == (True, "KMS allows ip, and not email, quarantine")
    half = FakeTrial(
        lambda asked: (
            asked.field in {IP, QUARANTINE}
            or (asked.field == EMAIL and asked.purpose is KeyPurpose.DATA)
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
