"""Which records hold a value, against an entry of the audit log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.core.audit import AuditReceipt

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


class RecordFinder(Protocol):
    """May look a value up, against a committed intent, and read no record."""

    def holding(self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int) -> Holders:
        """The records that hold one of these tokens in the intent's field, whatever its generation; once.

        The tokens are of one value, in each generation whose key is not destroyed. `limit` records
        at most are listed, and never more than `MAX_HOLDERS`. Raises DeniedError unless a committed
        intent of this login to find a value, at most 60 s old, allows it.
        """
