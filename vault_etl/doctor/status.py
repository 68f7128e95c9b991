"""What `status` looks at, beside what `doctor` does. All raise DeniedError for what the caller may not see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Commits:
    """The last commit of a worker, and how much was committed lately. All times are the database's."""

    last: dt.datetime
    newest_sent: dt.datetime | None
    """When the newest message of the last commit was sent; None: nobody knows."""
    now: dt.datetime
    since: dt.datetime
    messages: int
    """Committed from `since` to `now`."""

    @property
    def per_second(self) -> float:
        """The rate in that time."""
        return self.messages / max((self.now - self.since).total_seconds(), 1.0)


@dataclass(frozen=True, slots=True)
class Lately:
    """Messages that went to quarantine for one reason, today and yesterday (UTC)."""

    reason_code: str
    today: int
    yesterday: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of a login that may ingest. `last` is None if the owner may not see it."""

    login: str
    sessions: int
    last: dt.datetime | None


class StatusFacts(Protocol):
    """Bounded looks at the database."""

    def commits(self) -> Commits | None:
        """None: nothing was ever committed."""

    def quarantined_lately(self, today: dt.datetime, yesterday: dt.datetime) -> Sequence[Lately]:
        """By reason, from the two midnights on, the most frequent first; 100,000 messages at most."""

    def sessions(self) -> Sequence[Sessions]:
        """Of each login that may ingest and is connected."""

    def rotations(self) -> Sequence[tuple[str, dt.datetime]]:
        """The purpose of each rotation that is under way, and when it began."""
