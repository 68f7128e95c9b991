"""A replica to read from: the facts about it, and who compares it with the primary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

SETTING: Final = "VAULT_ETL_READ_URL"


@dataclass(frozen=True, slots=True)
class Replica:
    """The server that reads go to."""

    server: str
    """HOST:PORT."""
    is_replica: bool
    """False if the server is the primary itself."""
    behind_s: float | None
    """The lag in seconds, at most; 0 if the server had every commit of that moment, None if the server does not say."""
    cancels_after: str
    """Its `max_standby_streaming_delay`: the time for which a query may delay the replay."""
    has_feedback: bool
    """Its `hot_standby_feedback`: whether the primary keeps old rows for queries on the replica."""

    @property
    def may_lack(self) -> bool:
        """True if the server may lack a transaction that was committed before the check."""
        return self.behind_s != 0


class ReplicaFacts(Protocol):
    """Compares a replica with its primary. Every login may."""

    def check(self) -> Replica:
        """Compare the two servers, and wait a few seconds until the replica has the earlier commits.

        Raises ConfigurationError if the server is neither a replica of this vault's primary nor that
        primary, and UnavailableError if the replica is too far behind or lacks a migration.
        """
