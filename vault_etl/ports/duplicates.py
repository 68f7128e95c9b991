"""What analysts ask of tokens."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.fields import Field


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A token that several records share."""

    token: uuid.UUID
    count: int
    users: int
    first_seen: dt.date
    last_seen: dt.date


class DuplicateFinder(Protocol):
    """Groups records by token. Needs no key."""

    def shared_tokens(self, field: Field, min_count: int, limit: int) -> Sequence[SharedToken]:
        """The most shared tokens first."""
