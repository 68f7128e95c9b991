"""Move quarantined messages: their bodies are read, and records take their place."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.quarantine.read import QuarantinedBody, RetryFilter
from vault_etl.records.fenced_writes import KeysChanged, RowsRefused, WriteKeys
from vault_etl.records.messages import SealedRecord


@dataclass(frozen=True, slots=True)
class RestoredMessage:
    """A body as it was read, and the record made from it."""

    body: QuarantinedBody
    record: SealedRecord


@dataclass(frozen=True, slots=True)
class Moved:
    """The committed messages, which are records now. A body that changed since it was read is not among them."""

    record_ids: frozenset[uuid.UUID]


class QuarantineMover(Protocol):
    """Reads bodies, and stores records in their place."""

    def bodies(
        self, wanted: RetryFilter, after: uuid.UUID | None, limit: int
    ) -> Sequence[QuarantinedBody]:
        """Return the next matching bodies that are not erased, in the order of their record ids."""

    def move(
        self, restored: Sequence[RestoredMessage], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        """Store the records and delete the rows, in one transaction behind the fence, and commit it.

        A body that was erased or re-encrypted since it was read stays, and its record is not stored. A record that
        exists already stays as it is, and its quarantined row is deleted.
        """
