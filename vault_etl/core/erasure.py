"""What is to be forgotten, what an erasure took away, and what it cannot reach."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Final

NOT_ERASED: Final = (
    "user_id and the other plain columns; entries of the audit log",
    "quarantined messages of the user: they are erased by their own ids",
    "messages still on a queue, in the dead-letter queue, or on their way",
    "rows that `migrate --adopt` kept, and those of months detached by hand",
    "old versions of the rows in the tables' files, until VACUUM has run",
    "the write-ahead log and its archive, replicas that lag, every backup",
)
"""Of every erasure, and on every certificate (docs/operations.md, Erasing)."""


@dataclass(frozen=True, slots=True)
class RecordTarget:
    """One record, and the quarantined message of the same id."""

    record_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class UserTarget:
    """All records of a user."""

    user_id: str


Target = RecordTarget | UserTarget


@dataclass(frozen=True, slots=True)
class Erasable:
    """What an erasure would take away now: personal fields of records, and quarantined bodies."""

    records: int
    bodies: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure took away, when by the database's clock, and its outcome in the audit log."""

    records: int
    bodies: int
    erased_at: dt.datetime
    seq: int
    hash: bytes
