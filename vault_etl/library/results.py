"""The results of the library. A personal value in them is a `Pii`, which shows nothing until `expose()`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from vault_etl.audit.entries import AuditReceipt
from vault_etl.base.pii import Pii
from vault_etl.ingest.load import LoadedLines
from vault_etl.reveal.find import FoundValue, TokenHolder
from vault_etl.reveal.reveal import Revealed


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of the audit log that an access is on: its intent."""

    seq: int
    """Its number in the log."""
    hash: bytes
    """Its hash, 32 bytes."""
    login: str
    """The login of Postgres that wrote the entry."""
    logged_at: dt.datetime
    checkpoint: str | None
    """The signed note of the log's head after the outcome. Keep it: `audit verify --checkpoint` takes it."""

    @classmethod
    def of(cls, receipt: AuditReceipt) -> Self:
        """Return the facts of a receipt. An entry opens nothing."""
        return cls(receipt.seq, receipt.hash, receipt.login, receipt.logged_at, receipt.checkpoint)


@dataclass(frozen=True, slots=True)
class RevealedRecord:
    """A record with its personal values by their names in the event. An erased value is None."""

    event: str
    record_id: uuid.UUID
    subject: str | None = field(repr=False)
    """The user of the record."""
    day: dt.date | None
    values: Mapping[str, Pii | None]
    entry: Entry

    @classmethod
    def of(cls, revealed: Revealed) -> Self:
        """Return a revealed record without its receipt."""
        entry = Entry.of(revealed.receipt)
        return cls(
            revealed.event,
            revealed.record_id,
            revealed.subject,
            revealed.day,
            revealed.values,
            entry,
        )


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record that holds a value, without personal values."""

    event: str
    record_id: uuid.UUID
    subject: str = field(repr=False)
    """The user of the record."""
    day: dt.date
    moment: dt.datetime | None

    @classmethod
    def of(cls, holder: TokenHolder) -> Self:
        """Return a record of the search."""
        return cls(holder.event, holder.record_id, holder.subject, holder.day, holder.moment)


@dataclass(frozen=True, slots=True)
class SearchedValue:
    """A value that was searched for."""

    token: uuid.UUID
    """The token of the value that analysts see."""
    placeholder: str | None
    """The value, if it is one that programs write for "no value", such as 0.0.0.0: such records share nothing."""
    count: int
    """The number of all records that hold the value."""
    records: Sequence[FoundRecord]
    """The newest of these records, at most `limit`."""

    @classmethod
    def of(cls, found: FoundValue, placeholder: str | None) -> Self:
        """Return a value of the search."""
        records = tuple(map(FoundRecord.of, found.holders.newest))
        return cls(found.token, placeholder, found.holders.count, records)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search: one entry of the audit log, however many values."""

    values: Sequence[SearchedValue]
    """In the order of the values that were given."""
    not_searched: Sequence[str]
    """The months that the search did not see, because they are detached or archived."""
    entry: Entry


@dataclass(frozen=True, slots=True)
class Ingested:
    """Counts of a load: received = stored + duplicates + quarantined + already_quarantined."""

    received: int
    stored: int
    duplicates: int
    """Rows that an earlier load of the same source stored."""
    quarantined: int
    """Rows that are no events. They are sealed in the quarantine, with a reason: `vault-etl quarantine list`."""
    already_quarantined: int
    extra_fields: Mapping[str, int]
    """Unknown fields that were dropped, by their names, as far as a name may be shown."""

    @classmethod
    def of(cls, loaded: LoadedLines) -> Self:
        """Return the counts of a load."""
        return cls(
            loaded.received,
            loaded.stored,
            loaded.duplicates,
            loaded.quarantined,
            loaded.already_quarantined,
            loaded.extra_fields.most(),
        )
