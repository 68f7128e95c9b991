"""Make the tokens of values, on the record: a caller with a token can find the records of the value."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.pii import Pii
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.searched import searched
from vault_etl.keys.ring import KeyRing


@dataclass(frozen=True, slots=True)
class MadeTokens:
    """The tokens of values as analysts see them, in the order of the values; None for a value without a token.

    `is_pending` tells that a newer generation will replace this one.
    """

    tokens: Sequence[uuid.UUID | None]
    generation: int
    is_pending: bool
    receipt: AuditReceipt


class MakeTokens:
    """Makes tokens: intent, KMS, outcome. Nothing is returned before the outcome is committed."""

    def __init__(self, audit: AuditLog, ring: KeyRing, declaration: Declaration) -> None:
        self._audit = audit
        self._ring = ring
        self._searched = searched(declaration)

    def __call__(self, request: AuditRequest, values: Sequence[Pii]) -> MadeTokens:
        """Make the tokens of the active generation, for the one field of `request`, or a derived form of one.

        `request.amount` is the number of values, which count for the quota of tokens. A value that the field
        cannot hold has no token. Raises AuditError, PolicyDeniedError, KeyUnavailableError.
        """
        (name,) = request.fields
        wanted = self._searched[name]
        held = [wanted.held_or_none(value) for value in values]
        with audited(self._audit, request) as receipt:
            maker, *others = self._ring.field_tokenizers(wanted.field.name)
            tokens = [
                None if value is None else maker.token(value, wanted.derived) for value in held
            ]
        pending = any(other.generation > maker.generation for other in others)
        return MadeTokens(tokens, maker.generation, pending, receipt)
