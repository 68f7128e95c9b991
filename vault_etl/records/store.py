"""Where records and quarantined messages are stored, read and sealed anew."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import DataKey
from vault_etl.records.messages import RecordRange, SealedRecord, SealedRejection


@dataclass(frozen=True, slots=True)
class WriteKeys:
    """What a batch was written under, for the fence to look at."""

    generations: tuple[int, int | None]
    """Of the tokens: the active generation, and the pending one or None."""
    data_keys: tuple[DataKey, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The batch is committed; these ids are new, every other one was there before."""

    record_ids: frozenset[uuid.UUID]
    rejection_ids: frozenset[uuid.UUID]


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """The fence found other keys than the batch was written under; nothing is stored."""


@dataclass(frozen=True, slots=True)
class RowsRefused:
    """A value was refused by the database (SQLSTATE), nobody knows of which row; nothing is stored."""

    sqlstate: str


@dataclass(frozen=True, slots=True)
class MonthGone:
    """A record's month was detached or dropped since the ranges were looked at; nothing is stored."""


class RecordLoader(Protocol):
    """May write rows that it cannot read."""

    def prepare_partitions(self, months: Iterable[dt.date] = ()) -> tuple[RecordRange, ...]:
        """Make the months from two back to three ahead, and these; the ranges of all partitions.

        A month is named by any day of it. One more than 24 months back or three ahead is not made, and
        no closed one, whose range is among them too.
        """

    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthGone:
        """Store a batch in one transaction behind the fence, and commit it.

        Raises UnavailableError, DeniedError or ConfigurationError; then nothing is stored, or it
        is not known whether it was, which a second load finds out.
        """

    def probe(self) -> None:
        """Ask for nothing, and for a few seconds. Raises as `load` if a batch could not be stored now."""


@dataclass(frozen=True, slots=True)
class SealedValue:
    """A ciphertext where it stands. `user_id` is empty in quarantine."""

    field: Field
    record_id: uuid.UUID
    user_id: str
    ciphertext: bytes
