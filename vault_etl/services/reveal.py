"""Recover the personal fields of a record, on the record."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from vault_etl.core.audit import Action, AuditReceipt, AuditRequest
from vault_etl.core.ciphertext import Ciphertext, Place
from vault_etl.core.fields import Field
from vault_etl.core.masking import masked
from vault_etl.core.opening import Opener
from vault_etl.core.pii import Pii
from vault_etl.errors import IntegrityError, NotFoundError
from vault_etl.ports.audit_log import AuditLog, ReleasedValues
from vault_etl.ports.record_store import RecordReader, RecordRow
from vault_etl.services.audited import audited
from vault_etl.services.key_ring import KeyRing


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a record held, masked if that was asked for. A field that was erased is None.

    `receipt` is of the intent, and has the checkpoint of the outcome.
    """

    record_id: uuid.UUID
    fields: Mapping[Field, Pii | None]
    receipt: AuditReceipt


class Reveal:
    """Intent, release, KMS, outcome: in this order, and nothing is returned before the last."""

    def __init__(
        self, audit: AuditLog, released: ReleasedValues, records: RecordReader, ring: KeyRing
    ) -> None:
        self._audit = audit
        self._released = released
        self._records = records
        self._ring = ring

    def __call__(self, request: AuditRequest) -> Revealed:
        """Recover `request.fields` of `request.record_id`.

        Raises AuditError if the log could not be written or signed, PolicyDeniedError before the
        record is looked for, NotFoundError, IntegrityError if one field does not open (then none
        is returned), KeyUnavailableError, UnavailableError.
        """
        with audited(self._audit, request) as receipt:
            ciphertexts = self._released.release(receipt)
            row = self._records.record(request.record_id) if request.record_id else None
            if row is None:
                message = "there is no such record"
                raise NotFoundError(message, hint="the id is the record_id of user_logins")
            values = {
                field: _shown(
                    request, field, self._open(Opener(receipt), row, field, ciphertexts.get(field))
                )
                for field in request.fields
            }
        return Revealed(row.record_id, values, receipt)

    def _open(
        self, opener: Opener, row: RecordRow, field: Field, stored: bytes | None
    ) -> Pii | None:
        if stored is None:
            return None
        key = self._ring.data_key(Ciphertext.parse(stored).key_id, field)
        value = opener.open(stored, Place.in_record(field, row.record_id, row.user_id), key)
        self._check_token(row, field, value)
        return value

    def _check_token(self, row: RecordRow, field: Field, value: Pii) -> None:
        """The token made anew must be the row's: a moved or forged one is an integrity failure too.

        With this field's token key alone: who may open `ip` need not hold that of `device_id`.
        """
        tokenizer = self._ring.field_tokenizer(field, row.token_generation)
        # What has no token at all was not sealed by us either, and fails alike, outside the handler.
        with contextlib.suppress(ValueError):
            if tokenizer.token(value) == row.tokens[field]:
                return
        raise IntegrityError


def _shown(request: AuditRequest, field: Field, value: Pii | None) -> Pii | None:
    """A full value does not leave here if a masked one was asked for."""
    if value is None or request.action is not Action.REVEAL_MASKED:
        return value
    return masked(field, value)
