"""Which roles this login has, and that no login holds what must be held apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vault_etl.audit.log import Identity
from vault_etl.base.errors import VaultEtlError
from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import LoginFacts

EMULATED_ACCOUNTS: Final = frozenset({"000000000000", "123456789012"})
"""LocalStack's and moto's. AWS gives neither to anybody: behind them is no key that guards a secret."""

_SHOWN: Final = 5
_APART: Final = "REVOKE it, or ALTER ROLE … NO…: one role a login (docs/how-to/database.md)"


def roles(facts: LoginFacts) -> Verdict:
    """The login may do something."""
    found = facts.rights()
    if found.superuser:
        return Verdict.good("a superuser, who may do everything")
    if not found.roles:
        return Verdict.bad(
            "this login acts as no role",
            "GRANT it one of the roles vault_etl_…, WITH INHERIT TRUE (docs/how-to/database.md)",
        )
    return Verdict.good(", ".join(role.removeprefix("vault_etl_") for role in found.roles))


def separation(facts: LoginFacts, identity: Callable[[], Identity]) -> Verdict:
    """No login that opens token keys, as ingest or reveal, reads tokens (docs/design.md, Roles).

    Who does both recovers every address from its token, and no entry shows it. In an emulator,
    where no key is worth anything and one person plays all the roles, it is said and no fault.
    """
    mixed = facts.mixed_logins()
    found = []
    if facts.rights().superuser:
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


def members(facts: LoginFacts, identity: Callable[[], Identity]) -> Sequence[Verdict]:
    """No member of our roles acts as the owner, or has a right of the cluster's beside them.

    The owner of the database may: it migrates. What an administrator or a backup may need is told; in
    an emulator, all of it is.
    """
    odd = facts.odd_members()
    told = [f"{found.name} {found.what}" for found in odd if not found.is_fault]
    faults = [f"{found.name} {found.what}" for found in odd if found.is_fault]
    if faults and not is_emulated(identity):
        return [Verdict.bad(fault, _APART) for fault in faults]
    if faults:
        return [Verdict.good(f"warning: {_few(faults)}; no fault in an emulator")]
    if told:
        return [
            Verdict.good(f"only the owner of the database acts as vault_etl_owner; {_few(told)}")
        ]
    return [Verdict.good("only the owner of the database acts as vault_etl_owner")]


def is_emulated(identity: Callable[[], Identity]) -> bool:
    """Whether AWS says that the caller's account is an emulator's."""
    return _account(identity) in EMULATED_ACCOUNTS


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _account(identity: Callable[[], Identity]) -> str | None:
    """The AWS account of the caller; None if AWS does not say."""
    try:
        return identity().actor().split(":")[4]
    except VaultEtlError:
        return None
