"""Who asks, by AWS's word, and for what: the request that an entry is made of."""

from __future__ import annotations

import uuid

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import Identity
from vault_etl.crypto.fields import Field


def audit_request(
    identity: Identity,
    action: Action,
    reason: str,
    *,
    record_id: uuid.UUID | None = None,
    fields: tuple[Field, ...] = (),
    purpose: str | None = None,
    ticket: str | None = None,
    amount: int | None = None,
) -> AuditRequest:
    """A request under a new id. No flag and no setting says who the actor is: `identity` does."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=action,
        actor=identity.actor(),
        host=identity.host(),
        reason=reason,
        record_id=record_id,
        fields=fields,
        purpose=purpose,
        ticket=ticket,
        amount=amount,
    )
