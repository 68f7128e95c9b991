"""The reveal policy, as the database keeps and enforces it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vault_etl.core.audit import AuditRequest
from vault_etl.core.checkpoint import Head


class PolicyReader(Protocol):
    """May read the policy (roles audit and owner)."""

    def current(self) -> Mapping[str, Any] | None:
        """The document that is in force; None while it is the default."""


class PolicyWriter(Protocol):
    """May change the policy (the owner)."""

    def check_owner(self) -> None:
        """Raise DeniedError unless this login may act as the owner."""

    def replace(self, request: AuditRequest, document: str) -> Head:
        """Put this document in force, on the record, in one transaction; the head after it.

        Raises DeniedError, AuditError, and ConfigurationError for a pattern that is none.
        """
