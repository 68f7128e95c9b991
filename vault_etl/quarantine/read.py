"""Read quarantined messages: list and count their metadata, and show one body, on the record."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import DisclosedValues, Opener
from vault_etl.base.errors import NotFoundError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.keys.ring import KeyRing


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row of `quarantine` without its body. The reason code is text: a later version may have more codes."""

    record_id: uuid.UUID
    reason_code: str
    path: str
    receive_count: int
    """The number of receives of the message before it was quarantined."""
    quarantined_at: dt.datetime
    source_id: uuid.UUID | None = None
    """The source file of the line; None: a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFilter:
    """A filter of rows: a row must match every member that is not None."""

    reason_code: str | None = None
    since: dt.datetime | None = None
    """Quarantined at this time or later."""
    until: dt.datetime | None = None
    """Quarantined before this time."""
    source: str | None = None
    """A file's `source_id`, or `queue`."""
    older_than: dt.timedelta | None = None
    """The minimal age by the database's clock; only used to count before a discard, without `until`."""


EVERY_ROW: Final = QuarantineFilter()


@dataclass(frozen=True, slots=True)
class QuarantinedCount:
    """The number of rows with the same reason, path and source, and their times. Days are UTC."""

    reason_code: str
    path: str
    source_id: uuid.UUID | None
    count: int
    oldest: dt.datetime
    newest: dt.datetime
    today: int
    yesterday: int


@dataclass(frozen=True, slots=True)
class RetryFilter:
    """A filter of messages to retry: these ids, or all; this reason, or any."""

    only: Sequence[uuid.UUID] | None = None
    reason_code: str | None = None


EVERY_BODY: Final = RetryFilter()


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """The sealed body of a row, as read before a retry."""

    record_id: uuid.UUID
    ciphertext: bytes
    source_id: uuid.UUID | None = None
    """The source file of the line; None: a queue."""
    queue: str | None = None
    """The queue whose events take the message; None: its content alone says of which event it is."""


class QuarantineReader(Protocol):
    """Reads the metadata of rows. The caller may not read bodies."""

    def rows(
        self, wanted: QuarantineFilter = EVERY_ROW, *, limit: int | None = None
    ) -> Iterator[QuarantinedRow]:
        """Yield the matching rows, the newest last; with `limit`, only this number of the newest rows."""

    def counts(self, wanted: QuarantineFilter = EVERY_ROW) -> Iterable[QuarantinedCount]:
        """Yield counts of the matching rows, the most frequent first."""

    def row(self, record_id: uuid.UUID) -> QuarantinedRow | None:
        """Return the row with this id, or None."""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A quarantined message with its body; an erased body is None. `receipt` is of the intent."""

    row: QuarantinedRow
    body: Pii | None
    receipt: AuditReceipt


class ShowQuarantined:
    """Shows a message: intent, disclosure, KMS, outcome. Nothing is returned before the outcome is committed."""

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
            stored = self._disclosed.disclose(receipt).get(QUARANTINE)
            row = self._reader.row(request.record_id) if request.record_id else None
            if row is None:
                message = "no quarantined message has this record_id"
                raise NotFoundError(
                    message, hint="`vault-etl quarantine list` shows the record_id of each message"
                )
            sealed = stored.ciphertext if stored else None
            body = None if sealed is None else self._open(Opener(receipt), row, sealed)
        return ShownMessage(row, body, receipt)

    def _open(self, opener: Opener, row: QuarantinedRow, stored: bytes) -> Pii:
        key = self._ring.data_key(Ciphertext.parse(stored).key_id, QUARANTINE)
        return opener.open(stored, ValuePlace.in_quarantine(row.record_id), key)
