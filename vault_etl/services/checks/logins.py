"""Which roles this login has, and that nobody holds what must be held apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vault_etl.errors import VaultEtlError
from vault_etl.ports.audit_log import Identity
from vault_etl.ports.doctor import LoginFacts
from vault_etl.services.doctor import Verdict

EMULATED_ACCOUNTS: Final = frozenset({"000000000000", "123456789012"})
"""LocalStack's and moto's. AWS gives neither to anybody: behind them is no key that guards a secret."""


def roles(facts: LoginFacts) -> Verdict:
    """The login may do something."""
    found = facts.rights()
    if found.superuser:
        return Verdict.good("a superuser, who may do everything")
    if not found.roles:
        return Verdict.bad(
            "this login acts as no role",
            "GRANT it one of the roles vault_etl_…, WITH INHERIT TRUE (docs/operations.md, Database)",
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
    elif mixed.this:
        found.append("this login may ingest or reveal, and read tokens")
    if mixed.others:
        found.append(f"other logins that may ingest or reveal, and read tokens: {mixed.others}")
    if not found:
        return Verdict.good("no login may ingest or reveal and also read tokens")
    if is_emulated(identity):
        return Verdict.good(f"warning: {'; '.join(found)}; no fault in an emulator")
    return Verdict.bad(
        "; ".join(found),
        "one role a login: REVOKE one of the two (docs/operations.md, Database)",
    )


def is_emulated(identity: Callable[[], Identity]) -> bool:
    """Whether AWS says that the caller's account is an emulator's."""
    return _account(identity) in EMULATED_ACCOUNTS


def _account(identity: Callable[[], Identity]) -> str | None:
    """The AWS account of the caller; None if AWS does not say."""
    try:
        return identity().actor().split(":")[4]
    except VaultEtlError:
        return None
