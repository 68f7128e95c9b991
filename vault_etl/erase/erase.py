"""What is to be forgotten, what an erasure took away, and what it cannot reach."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NOT_ERASED: Final = (
    "user_id and the other plain columns; entries of the audit log",
    "quarantined messages of the user: they are erased by their own ids",
    "messages still on a queue, in the dead-letter queue, or on their way",
    "rows that `migrate --adopt` kept, and those of months detached by hand",
    "archives of months: those named above, and copies of any archive",
    "old versions of the rows in the tables' files, until VACUUM has run",
    "the write-ahead log and its archive, replicas that lag, every backup",
    "what subscribers and lakes keep of the changes that they got",
)
"""Of every erasure, and on every certificate (docs/how-to/erase.md)."""


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
    """What an erasure would take away now: personal fields of records, and quarantined bodies.

    `archives` are those that hold some of it, or may: which month, and where. A restore takes it away.
    """

    records: int
    bodies: int
    archives: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure took away, and what archives hold still; when, and its outcome in the audit log."""

    records: int
    bodies: int
    archives: Mapping[str, str]
    erased_at: dt.datetime
    seq: int
    hash: bytes
