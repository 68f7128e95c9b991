"""A replica to read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

SETTING: Final = "VAULT_ETL_READ_URL"


@dataclass(frozen=True, slots=True)
class Replica:
    """The server that answers are read from."""

    server: str
    """HOST:PORT."""
    is_replica: bool
    """False: it is the primary itself."""
    behind_s: float | None
    """Seconds that it lacks at most; 0 if it had all that was committed when it was asked, None if it does not say."""
    cancels_after: str
    """Its `max_standby_streaming_delay`: for how long a look may keep it from replaying."""
    has_feedback: bool
    """Its `hot_standby_feedback`: whether the primary keeps old rows for its looks."""

    @property
    def may_lack(self) -> bool:
        """Whether it may lack something that was committed before it was asked."""
        return self.behind_s != 0


class ReplicaFacts(Protocol):
    """Visible to every login."""

    def check(self) -> Replica:
        """Compare the two servers, and wait a few seconds for what was committed before.

        Raises ConfigurationError for a server that is no replica of this vault's primary nor that
        primary, and UnavailableError for one that is too far behind, or lacks a migration.
        """
