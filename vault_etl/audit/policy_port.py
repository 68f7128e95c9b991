"""The reveal policy, as the database keeps and enforces it."""

from __future__ import annotations

from typing import Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.policy import Allowance


class PolicyReader(Protocol):
    """May read the policy (roles reveal, audit and owner)."""

    def allowance(self) -> Allowance:
        """The policy that is in force, and what of the quota this login has used."""


class PolicyWriter(Protocol):
    """May change the policy (the owner)."""

    def check_owner(self) -> None:
        """Raise DeniedError unless this login may act as the owner."""

    def replace(self, request: AuditRequest, document: str) -> Head:
        """Put this document in force, on the record, in one transaction; the head after it.

        Raises DeniedError, AuditError, and ConfigurationError for a pattern that is none.
        """
