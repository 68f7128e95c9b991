"""Requests of an operator, as the audit log has them."""

from __future__ import annotations

import uuid

from tests.kit.declared import PERSONAL_FIELDS
from vault_etl.audit.entries import Action, AuditRequest


def request(**changes: object) -> AuditRequest:
    """A request to erase, changed as told."""
    values = {
        "request_id": uuid.uuid4(),
        "action": Action.ERASE,
        "actor": "arn:aws:iam::000000000000:user/someone",
        "host": "host.example",
        "reason": "a request to be forgotten",
        "ticket": "DPO-17",
        "fields": PERSONAL_FIELDS,
        **changes,
    }
    return AuditRequest(**values)  # type: ignore[arg-type]
