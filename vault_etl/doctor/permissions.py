"""The check of what KMS allows these credentials for each declared field, by calls that make and open nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.doctor.diagnose import Verdict


class KeyCall(StrEnum):
    """A call of KMS about a key of a field. Its value is the action in IAM."""

    MAKE = "kms:GenerateDataKey"
    MAKE_UNSEEN = "kms:GenerateDataKeyWithoutPlaintext"
    OPEN = "kms:Decrypt"


@dataclass(frozen=True, slots=True)
class Permission:
    """A call about keys of a purpose and field."""

    call: KeyCall
    purpose: KeyPurpose
    field: FieldName


class PermissionTrial(Protocol):
    """Asks KMS whether it would do a call, by a dry run."""

    def allows(self, permission: Permission) -> bool | None:
        """Tell whether KMS would do the call for these credentials; None if it does not tell.

        Raises UnavailableError, DeniedError for unknown credentials, and ConfigurationError.
        """


NEEDED: Final[Mapping[str, Sequence[tuple[KeyCall, KeyPurpose]]]] = {
    "ingest": ((KeyCall.MAKE, KeyPurpose.DATA), (KeyCall.OPEN, KeyPurpose.TOKEN)),
    "reveal": ((KeyCall.OPEN, KeyPurpose.DATA), (KeyCall.OPEN, KeyPurpose.TOKEN)),
    "re_encrypt": (
        (KeyCall.MAKE, KeyPurpose.DATA),
        (KeyCall.OPEN, KeyPurpose.DATA),
        (KeyCall.MAKE_UNSEEN, KeyPurpose.TOKEN),
        (KeyCall.OPEN, KeyPurpose.TOKEN),
    ),
}
"""What a role needs of each declared field. The rewraps of rotate, and keys that are of no field, are not checked."""

NO_FIELD: Final = FieldName("no-field")
"""A field that no declaration can have. A KMS that judges by the policies of the template denies it."""

_HINT: Final = (
    "deploy the template that `vault-etl schema iam` prints for this declaration, or use the AWS role that goes with"
    " the login (docs/how-to/add-a-field.md)"
)


def permissions(
    roles: Collection[str], fields: Sequence[FieldName], trial: PermissionTrial
) -> Verdict:
    """Check that KMS allows what these roles need of each field.

    A person may reveal some fields alone: the verdict then says which. Raises the errors of `PermissionTrial.allows`.
    """
    named = [role for role in NEEDED if role in roles]
    needed = list(dict.fromkeys(need for role in named for need in NEEDED[role]))
    if not needed:
        return Verdict.unknown("not visible to this role")
    denied: dict[FieldName, list[str]] = {}
    for field in fields:
        for call, purpose in needed:
            allowed = trial.allows(Permission(call, purpose, field))
            if allowed is None:
                return Verdict.unknown(f"cannot tell: this KMS ignores the dry run of {call}")
            if not allowed:
                denied.setdefault(field, []).append(f"{call} of {purpose.value} keys")
    if len(denied) < len(fields) and trial.allows(Permission(*needed[0], NO_FIELD)) is not False:
        return Verdict.unknown(
            "cannot tell: KMS also allows a field that no vault has, so no policy lists fields for these credentials"
        )
    if not denied:
        return Verdict.good(f"KMS allows what {' and '.join(named)} needs of {', '.join(fields)}")
    others = [field for field in fields if field not in denied]
    wholly = all(len(calls) == len(needed) for calls in denied.values())
    if named == ["reveal"] and others and wholly:
        return Verdict.good(f"KMS allows {', '.join(others)}, and not {', '.join(denied)}")
    return Verdict.bad(f"KMS denies {_listed(denied)}", _HINT)


def _listed(denied: Mapping[FieldName, Sequence[str]]) -> str:
    """Return the denied calls, each with its fields."""
    calls = dict.fromkeys(call for found in denied.values() for call in found)
    return "; ".join(
        f"{call} of {', '.join(field for field, found in denied.items() if call in found)}"
        for call in calls
    )
