"""A receipt without a log, for tests of what takes one."""

from __future__ import annotations

import datetime as dt
import uuid

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, mint_receipt


def any_receipt() -> AuditReceipt:
    """A receipt of an intent that no transaction committed."""
    request = AuditRequest(
        request_id=uuid.UUID(int=1),
        action=Action.REVEAL,
        actor="arn:aws:sts::000000000000:assumed-role/reveal/ada",
        host="host.example",
        reason="a test asks",
    )
    return mint_receipt(request, 1, bytes(32), "fake", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
