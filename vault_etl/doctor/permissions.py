"""The check of what KMS allows these credentials for each declared field, by calls that make and open nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from vault_etl.crypto.fields import QUARANTINE, FieldName, KeyPurpose
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
"""What a role needs of each declared field; of `quarantine`, which has no token keys, the calls of data keys.

The rewraps of rotate, and the source key, are not checked."""

NO_FIELD: Final = FieldName("no-field")
"""A field that no declaration can have. A KMS that judges by the policies of the template denies it."""

_HINT: Final = (
    "deploy the template that `vault-etl schema iam` prints for this declaration, or use the AWS role that goes with"
    " the login (docs/how-to/add-a-field.md)"
)


def permissions(
    roles: Collection[str], fields: Sequence[FieldName], trial: PermissionTrial
) -> Verdict:
    """Check that KMS allows what these roles need of each field and of `quarantine`, and of no other field.

    A person may reveal some fields alone: the verdict then says which. Raises the errors of `PermissionTrial.allows`.
    """
    named = [role for role in NEEDED if role in roles]
    needed = list(dict.fromkeys(need for role in named for need in NEEDED[role]))
    if not needed:
        return Verdict.unknown("not visible to this role")
    tried = dict.fromkeys(fields, needed)
    tried[QUARANTINE] = [need for need in needed if need[1] is KeyPurpose.DATA]
    denied: dict[FieldName, list[str]] = {}
    for field, needs in tried.items():
        for need in needs:
            allowed = trial.allows(Permission(*need, field))
            if allowed is None:
                return Verdict.unknown(f"cannot tell: this KMS ignores the dry run of {need[0]}")
            if not allowed:
                denied.setdefault(field, []).append(_words(*need))
    wholly = all(len(calls) == len(tried[field]) for field, calls in denied.items())
    is_for_some = named == ["reveal"] and wholly and not denied.keys() >= set(fields)
    if denied and not is_for_some:
        return Verdict.bad(f"KMS denies {_listed(denied)}", _HINT)
    boundless = [
        _words(*need) for need in needed if trial.allows(Permission(*need, NO_FIELD)) is not False
    ]
    if boundless:
        return Verdict.unknown(
            f"cannot tell: KMS also allows {' and '.join(boundless)} of a field that no vault has, so no policy lists"
            " fields for them"
        )
    if denied:
        others = [field for field in tried if field not in denied]
        return Verdict.good(f"KMS allows {', '.join(others)}, and not {', '.join(denied)}")
    return Verdict.good(f"KMS allows what {' and '.join(named)} needs of {', '.join(tried)}")


def _words(call: KeyCall, purpose: KeyPurpose) -> str:
    return f"{call} of {purpose.value} keys"


def _listed(denied: Mapping[FieldName, Sequence[str]]) -> str:
    """Return the denied calls, each with its fields."""
    calls = dict.fromkeys(call for found in denied.values() for call in found)
    return "; ".join(
        f"{call} of {', '.join(field for field, found in denied.items() if call in found)}"
        for call in calls
    )
