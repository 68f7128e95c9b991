"""Make the tokens of values, on the record: whoever holds a token can look for the value's records."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.pii import Pii
from vault_etl.keys.ring import KeyRing
from vault_etl.reveal.find import can_hold


@dataclass(frozen=True, slots=True)
class MadeTokens:
    """The token of each value as analysts see it, in the order of the values; None for what has none.

    `is_pending` is whether another generation will take this one's place.
    """

    tokens: Sequence[uuid.UUID | None]
    generation: int
    is_pending: bool
    receipt: AuditReceipt


class MakeTokens:
    """Intent, KMS, outcome: in this order, and nothing is returned before the last."""

    def __init__(self, audit: AuditLog, ring: KeyRing) -> None:
        self._audit = audit
        self._ring = ring

    def __call__(self, request: AuditRequest, values: Sequence[Pii]) -> MadeTokens:
        """Make the tokens of the active generation, for the one field of `request`.

        `request.amount` is how many values there are: they count for the quota of tokens. A value that
        the field cannot hold has no token. Raises AuditError, PolicyDeniedError, KeyUnavailableError.
        """
        (field,) = request.fields
        held = [can_hold(field, value) for value in values]
        with audited(self._audit, request) as receipt:
            maker, *others = self._ring.field_tokenizers(field)
            tokens = [
                maker.token(value) if holds else None
                for value, holds in zip(values, held, strict=True)
            ]
        pending = any(other.generation > maker.generation for other in others)
        return MadeTokens(tokens, maker.generation, pending, receipt)
