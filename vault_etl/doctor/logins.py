"""Checks of logins: the roles of this login, and rights that no login may hold together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.log import Identity
from vault_etl.base.errors import VaultEtlError
from vault_etl.doctor.diagnose import Verdict

EMULATED_ACCOUNTS: Final = frozenset({"000000000000", "123456789012"})
"""The accounts of LocalStack and moto. AWS gives neither to a customer, so no key there guards a secret."""

_SHOWN: Final = 5
_APART: Final = "REVOKE it, or ALTER ROLE … NO…: one role a login (docs/how-to/database.md)"


@dataclass(frozen=True, slots=True)
class LoginRights:
    """The rights of the login of this session."""

    superuser: bool
    roles: Sequence[str]
    """The roles of the vault that the login acts as, without their prefix."""


@dataclass(frozen=True, slots=True)
class OddMember:
    """A login or group of the cluster with more rights than a login with one of our roles."""

    name: str
    what: str
    """The right that is too much."""
    is_fault: bool
    """False: an administrator or a backup may need this right."""


def roles(rights: LoginRights) -> Verdict:
    """Check that the login has a role."""
    if rights.superuser:
        return Verdict.good("a superuser, who may do everything")
    if not rights.roles:
        return Verdict.bad(
            "this login acts as no role",
            "GRANT it one of the roles vault_etl_…, WITH INHERIT TRUE (docs/how-to/database.md)",
        )
    return Verdict.good(", ".join(rights.roles))


def separation(
    rights: LoginRights, mixed: Mapping[str, bool], identity: Callable[[], Identity]
) -> Verdict:
    """Check that no login opens token keys, as ingest or reveal, and also reads tokens (docs/design.md, Roles).

    A login that does both recovers every address from its token, without an entry in the log. `mixed` names
    these logins, superusers excepted; True marks the login of this session. In an emulator, where no key guards a
    secret and one person plays every role, the finding is a warning and no fault.
    """
    found = []
    if rights.superuser:
        found.append("this login is a superuser, who may read tokens whatever else it does")
    elif any(mixed.values()):
        found.append("this login may ingest or reveal, and read tokens")
    if others := [name for name, is_this in mixed.items() if not is_this]:
        found.append(f"other logins that may ingest or reveal, and read tokens: {_few(others)}")
    if not found:
        return Verdict.good("no login may ingest or reveal and also read tokens")
    if is_emulated(identity):
        return Verdict.good(f"warning: {'; '.join(found)}; no fault in an emulator")
    return Verdict.bad(
        "; ".join(found),
        "one role a login: REVOKE one of the two (docs/how-to/database.md)",
    )


def members(
    odd: Sequence[OddMember], other_vaults: Sequence[str], identity: Callable[[], Identity]
) -> Sequence[Verdict]:
    """Check that no member of our roles acts as the owner, or has a right of the cluster beside our roles.

    The owner of the database may act as the owner role, because it migrates. Rights that an administrator or a
    backup may need are reported and no fault, and so are `other_vaults` with the same roles; in an emulator no right
    is a fault.
    """
    told = [f"{found.name} {found.what}" for found in odd if not found.is_fault]
    if other_vaults:
        told.insert(0, f"its roles are those of a vault elsewhere too: {_few(other_vaults)}")
    faults = [f"{found.name} {found.what}" for found in odd if found.is_fault]
    if faults and not is_emulated(identity):
        return [Verdict.bad(fault, _APART) for fault in faults]
    if faults:
        return [Verdict.good(f"warning: {_few(faults)}; no fault in an emulator")]
    if told:
        return [
            Verdict.good(f"only the owner of the database acts as the owner role; {_few(told)}")
        ]
    return [Verdict.good("only the owner of the database acts as the owner role")]


def is_emulated(identity: Callable[[], Identity]) -> bool:
    """Tell whether AWS says that the caller's account is an emulator's."""
    return _account(identity) in EMULATED_ACCOUNTS


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _account(identity: Callable[[], Identity]) -> str | None:
    """Return the AWS account of the caller; None if AWS does not answer."""
    try:
        return identity().actor().split(":")[4]
    except VaultEtlError:
        return None
