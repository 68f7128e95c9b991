"""The messages that could not be records: what is known of them, and the way out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import DisclosedValues, Opener
from vault_etl.base.errors import NotFoundError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import Field
from vault_etl.keys.ring import KeyRing


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row of `quarantine` without its body. The code is text: a later version may know more of them."""

    record_id: uuid.UUID
    reason_code: str
    path: str
    receive_count: int
    """How often the queue had handed the message out by then."""
    quarantined_at: dt.datetime
    source_id: uuid.UUID | None = None
    """The file that the line is of; None: a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFilter:
    """Which rows: those that match all that is not None."""

    reason_code: str | None = None
    since: dt.datetime | None = None
    """Quarantined from then on."""
    until: dt.datetime | None = None
    """Quarantined before then."""
    source: str | None = None
    """A file's `source_id`, or `queue`."""
    older_than: dt.timedelta | None = None
    """By the database's clock. Of what is counted before a discard alone, and without `until`."""


EVERY_ROW: Final = QuarantineFilter()


@dataclass(frozen=True, slots=True)
class QuarantinedCount:
    """How many rows have one reason, path and source, and when they came. Days are UTC."""

    reason_code: str
    path: str
    source_id: uuid.UUID | None
    count: int
    oldest: dt.datetime
    newest: dt.datetime
    today: int
    yesterday: int


class QuarantineReader(Protocol):
    """May read why and where, and no body."""

    def rows(
        self, wanted: QuarantineFilter = EVERY_ROW, *, limit: int | None = None
    ) -> Iterator[QuarantinedRow]:
        """The rows, the newest last, streamed; with `limit` the newest ones, so many."""

    def counts(self, wanted: QuarantineFilter = EVERY_ROW) -> Iterable[QuarantinedCount]:
        """The same rows counted, the most frequent first."""

    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        """The row, or None."""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """What could not be a record, and why. A body that was erased is None. `receipt` is of the intent."""

    row: QuarantinedRow
    body: Pii | None
    receipt: AuditReceipt


class ShowQuarantined:
    """Intent, release, KMS, outcome: in this order, and nothing is returned before the last."""

    def __init__(
        self, audit: AuditLog, disclosed: DisclosedValues, reader: QuarantineReader, ring: KeyRing
    ) -> None:
        self._audit = audit
        self._disclosed = disclosed
        self._reader = reader
        self._ring = ring

    def __call__(self, request: AuditRequest) -> ShownMessage:
        """Open the body of `request.record_id`.

        Raises AuditError if the log could not be written, NotFoundError, IntegrityError,
        KeyUnavailableError, UnavailableError.
        """
        with audited(self._audit, request) as receipt:
            stored = self._disclosed.disclose(receipt).get(Field.QUARANTINE)
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
        return opener.open(stored, ValuePlace.in_quarantine(row.record_id), key)
