"""The records that hold a value, on the record: to look for one confirms a guess."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass

from vault_etl.core.audit import AuditReceipt, AuditRequest
from vault_etl.core.canonical import canonical
from vault_etl.core.fields import Field
from vault_etl.core.pii import Pii
from vault_etl.errors import UsageError
from vault_etl.ports.audit_log import AuditLog
from vault_etl.ports.record_finder import Holders, RecordFinder
from vault_etl.services.audited import audited
from vault_etl.services.key_ring import KeyRing

_HINTS = {
    Field.IP: "it is one IPv4 or IPv6 address, without port, prefix or zone",
    Field.DEVICE_ID: "it is text that is not blank, in UTF-8",
}


@dataclass(frozen=True, slots=True)
class Found:
    """The value's token as analysts see it, and who holds it. `receipt` is of the intent."""

    token: uuid.UUID
    holders: Holders
    receipt: AuditReceipt


class Find:
    """Intent, KMS, look-up, outcome: in this order, and nothing is returned before the last."""

    def __init__(self, audit: AuditLog, records: RecordFinder, ring: KeyRing) -> None:
        self._audit = audit
        self._records = records
        self._ring = ring

    def __call__(self, request: AuditRequest, value: Pii, limit: int) -> Found:
        """Look for `value` in the one field of `request`; `limit` records at most are listed.

        Every generation's token is looked for, so that none is missed while a rotation of the token
        keys runs, nor afterwards where it left old tokens. Raises UsageError, without the value, if
        the field cannot hold it; AuditError, KeyUnavailableError, UnavailableError.
        """
        (field,) = request.fields
        _check(field, value)
        with audited(self._audit, request) as receipt:
            tokens = [maker.token(value) for maker in self._ring.field_tokenizers(field)]
            holders = self._records.holding(receipt, tokens, limit)
        return Found(tokens[0], holders, receipt)


def _check(field: Field, value: Pii) -> None:
    """Before the intent: what no record can hold is no look at one."""
    with contextlib.suppress(ValueError):
        canonical(field, value)
        return
    message = f"the value is none that the field {field} can hold"
    raise UsageError(message, hint=_HINTS[field])
