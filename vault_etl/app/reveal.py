"""Reveal: the values of a record. It needs the declaration in force: with another one, an answer would lack values."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from vault_etl.app.audit import Keep, audit_log
from vault_etl.app.in_force import BETWEEN_RECORDS_S, must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.parts import Parts
from vault_etl.app.records import months
from vault_etl.audit.entries import AuditRequest
from vault_etl.reveal.postgres import PostgresDisclosedValues
from vault_etl.reveal.reveal import Reveal, Revealed
from vault_etl.reveal.traced import TracedReveal


def reveal(
    parts: Parts, request_id: uuid.UUID, keep: Keep | None = None
) -> Callable[[AuditRequest], Revealed]:
    """Build one reveal. KMS is asked for each of them, with the request id in the user agent."""
    must_be_in_force(parts, within=BETWEEN_RECORDS_S)
    values = PostgresDisclosedValues(parts.database)
    log = audit_log(parts, request_id, keep)
    one = Reveal(log, values, ring(parts, request_id), months(parts), parts.declaration)
    return TracedReveal(one, parts.traces) if parts.traces else one
