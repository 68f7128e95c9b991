"""What `status` looks at, beside what `doctor` does. All raise DeniedError for what the caller may not see."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lately:
    """Messages that went to quarantine for one reason, today and yesterday (UTC)."""

    reason_code: str
    today: int
    yesterday: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of a login that may ingest. `last` is None where only that login may see it."""

    login: str
    sessions: int
    last: dt.datetime | None


class StatusFacts(Protocol):
    """Bounded looks at the database."""

    def newest_record(self) -> uuid.UUID | None:
        """The id of the record that was sent last, or None."""

    def recent_records(self, first: uuid.UUID) -> int:
        """How many records have this id or a later one; 100,000 at most."""

    def quarantined_lately(self, today: dt.datetime, yesterday: dt.datetime) -> Sequence[Lately]:
        """By reason, from the two midnights on; 100,000 messages at most."""

    def sessions(self) -> Sequence[Sessions]:
        """Of each login that may ingest and is connected."""

    def rotations(self) -> Sequence[tuple[str, dt.datetime]]:
        """The purpose of each rotation that is under way, and when it began."""
