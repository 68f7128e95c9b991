"""The records that hold values, on the record: to look for one confirms a guess."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.fields import Field
from vault_etl.keys.ring import KeyRing
from vault_etl.reveal.find import Holders, RecordFinder, UserRecords

_HINTS = {
    Field.IP: "it is one IPv4 or IPv6 address, without port or zone, or a range of them",
    Field.DEVICE_ID: "it is text that is not blank, in UTF-8",
}
_SHOWN_LINES = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A value's token as analysts see it, and who holds it. `receipt` is of the intent."""

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
        """Look for one value; see `many`."""
        (found,) = self.many(request, [value], limit)
        return found

    def many(self, request: AuditRequest, values: Sequence[Pii], limit: int) -> Sequence[Found]:
        """Look for values in the one field of `request`; of each `limit` records at most are listed.

        `request.amount` is how many they are, if that is not one. Every generation's token is looked
        for, so that none is missed while a rotation of the token keys runs, nor afterwards where it
        left old tokens. Raises UsageError, without a value, if the field cannot hold one of them;
        AuditError, KeyUnavailableError, UnavailableError.
        """
        (field,) = request.fields
        must_be_held(field, values)
        with audited(self._audit, request) as receipt:
            makers = self._ring.field_tokenizers(field)
            tokens = [maker.token(value) for value in values for maker in makers]
            holders = self._records.holding(receipt, tokens, limit)
        return [
            Found(token, each, receipt)
            for token, each in zip(tokens[:: len(makers)], holders, strict=True)
        ]


class FindUser:
    """The records of a user: intent, look-up, outcome. The entry does not name the user, as `find` no value."""

    def __init__(self, audit: AuditLog, records: RecordFinder) -> None:
        self._audit = audit
        self._records = records

    def __call__(self, request: AuditRequest, user_id: str) -> tuple[UserRecords, AuditReceipt]:
        """The newest records of the user, and how many there are. Raises AuditError, UnavailableError."""
        with audited(self._audit, request) as receipt:
            found = self._records.of_user(receipt, user_id)
        return found, receipt


def can_hold(field: Field, value: Pii) -> bool:
    """Whether a record can hold this value in the field."""
    with contextlib.suppress(ValueError):
        canonical(field, value)
        return True
    return False


def must_be_held(field: Field, values: Sequence[Pii]) -> None:
    """Before the intent: what no record can hold is no look at one. Raises UsageError."""
    wrong = [number for number, value in enumerate(values, start=1) if not can_hold(field, value)]
    if not wrong:
        return
    message = f"the field {field} cannot hold this value"
    if len(values) > 1:
        some = ", ".join(map(str, wrong[:_SHOWN_LINES]))
        message = f"the field {field} cannot hold {len(wrong)} of these values: number {some}"
    raise UsageError(message, hint=_HINTS[field])
