"""Which records hold a token."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.fields import Field


@dataclass(frozen=True, slots=True)
class Holder:
    """A record that holds a token, without what it holds."""

    record_id: uuid.UUID
    user_id: str
    create_date: dt.date


@dataclass(frozen=True, slots=True)
class Holders:
    """How many records hold a token in all, and the newest of them, streamed."""

    count: int
    newest: Iterator[Holder]


class RecordFinder(Protocol):
    """May read plain columns and tokens, and no ciphertext."""

    def holding(self, field: Field, tokens: Sequence[uuid.UUID], limit: int) -> Holders:
        """The records that hold one of these tokens, whatever its generation; `limit` of them."""
