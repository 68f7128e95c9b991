"""Look at a quarantined message, on the record."""

from __future__ import annotations

from dataclasses import dataclass

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, ReleasedValues
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import NotFoundError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, Place
from vault_etl.crypto.fields import Field
from vault_etl.keys.ring import KeyRing
from vault_etl.quarantine.store import QuarantinedRow, QuarantineReader


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """What could not be a record, and why. A body that was erased is None. `receipt` is of the intent."""

    row: QuarantinedRow
    body: Pii | None
    receipt: AuditReceipt


class ShowQuarantined:
    """Intent, release, KMS, outcome: in this order, and nothing is returned before the last."""

    def __init__(
        self, audit: AuditLog, released: ReleasedValues, reader: QuarantineReader, ring: KeyRing
    ) -> None:
        self._audit = audit
        self._released = released
        self._reader = reader
        self._ring = ring

    def __call__(self, request: AuditRequest) -> ShownMessage:
        """Open the body of `request.record_id`.

        Raises AuditError if the log could not be written, NotFoundError, IntegrityError,
        KeyUnavailableError, UnavailableError.
        """
        with audited(self._audit, request) as receipt:
            stored = self._released.release(receipt).get(Field.QUARANTINE)
            row = self._reader.row(request.record_id) if request.record_id else None
            if row is None:
                message = "there is no such quarantined message"
                raise NotFoundError(
                    message, hint="`vault-etl quarantine list` shows the record_id of each"
                )
            sealed = stored.ciphertext if stored else None
            body = None if sealed is None else self._open(Opener(receipt), row, sealed)
        return ShownMessage(row, body, receipt)

    def _open(self, opener: Opener, row: QuarantinedRow, stored: bytes) -> Pii:
        key = self._ring.data_key(Ciphertext.parse(stored).key_id, Field.QUARANTINE)
        return opener.open(stored, Place.in_quarantine(row.record_id), key)
