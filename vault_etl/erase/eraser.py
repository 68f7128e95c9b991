"""Forgetting, in one transaction with its entries in the audit log."""

from __future__ import annotations

from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.erase.erase import Erasable, Erasure, Target


class Eraser(Protocol):
    """May take tokens, ciphertexts and quarantined bodies away, and read none of them."""

    def preview(self, target: Target) -> Erasable | None:
        """What there is to erase; None if there is no such record or user, and no archive may hold one."""

    def erase(self, request: AuditRequest, target: Target) -> Erasure | None:
        """Erase it and commit, with the intent and the outcome; None, and no entry, if it is not there.

        What an archive holds, or may hold, is on the record for its restore by the same commit.

        Raises UnavailableError or DeniedError; then nothing is erased, or it is not known whether it
        was: erasing again is safe.
        """
