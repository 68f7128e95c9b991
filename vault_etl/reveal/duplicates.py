"""Tokens that several records share, for analysts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from vault_etl.crypto.fields import FieldName


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTokenQuery:
    """A query for tokens of at least `min_count` records and `min_users` users, from `since` to `until`.

    Both days are included; None means no bound. Tokens in `leave_out` are not counted.
    """

    field: FieldName
    min_count: int = 2
    min_users: int = 1
    since: dt.date | None = None
    until: dt.date | None = None
    leave_out: tuple[uuid.UUID, ...] = ()
    limit: int


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A token that several records share."""

    token: uuid.UUID
    count: int
    users: int
    first_seen: dt.date
    last_seen: dt.date


class DuplicateFinder(Protocol):
    """Groups records by token, without a key."""

    def shared_tokens(self, query: SharedTokenQuery) -> Iterator[SharedToken]:
        """Yield the shared tokens, the most shared first."""

    def records(self, query: SharedTokenQuery) -> int:
        """Return about how many records the query groups, by the planner's estimate."""
