"""Which records hold a value, against an entry of the audit log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt

MAX_HOLDERS: Final = 1_000
"""Records that one look lists, by the database's own limit."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A record that holds a token, without what it holds."""

    record_id: uuid.UUID
    user_id: str
    create_date: dt.date
    event_time: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Holders:
    """How many records hold a token in all, and the newest of them."""

    count: int
    newest: Sequence[Holder]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A record of a user, in the columns that are stored as they came."""

    record_id: uuid.UUID
    device_type: str
    locale: str | None
    app_version: str | None
    create_date: dt.date
    event_time: dt.datetime | None


@dataclass(frozen=True, slots=True)
class UserRecords:
    """How many records a user has in all, and the newest of them."""

    count: int
    newest: Sequence[UserRecord]


class RecordFinder(Protocol):
    """May look a value up, against a committed intent, and read no record."""

    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[Holders]:
        """Who holds each value in the intent's field, whatever the generation of its token; once.

        The tokens are of one value, or of the intent's amount of values one behind the other: as
        many for each, one for each generation whose key is not destroyed. `limit` records of a value
        at most are listed, never more than `MAX_HOLDERS`, and 100,000 in all. Raises DeniedError
        unless a committed intent of this login to find so many values, at most 60 s old, allows it.
        """

    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        """The records of a user, the newest 100,000; once.

        Raises DeniedError unless a committed intent of this login to find, of no field, at most 60 s
        old, allows it.
        """
