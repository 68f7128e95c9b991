"""A span for each reveal: the id of its request and the number of fields. No record id, reason, ticket or value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vault_etl.audit.entries import AuditRequest
from vault_etl.reveal.reveal import Revealed

if TYPE_CHECKING:
    from vault_etl.platform.traces import Traces


class TracedReveal:
    """Reveals a record with another service, in a span."""

    def __init__(self, reveal: Callable[[AuditRequest], Revealed], traces: Traces) -> None:
        self._reveal = reveal
        self._traces = traces

    def __call__(self, request: AuditRequest) -> Revealed:
        """Reveal the record, as `Reveal` does."""
        attributes = {
            "request_id": str(request.request_id),
            "action": request.action.value,
            "fields": len(request.fields),
        }
        with self._traces.span("reveal", attributes):
            return self._reveal(request)
