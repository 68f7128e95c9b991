"""The end of keys: what still needs one, and taking its bytes away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest

PAGE_KEYS: Final = 5_000
"""How many keys end in one transaction: it has the fence and the end of the log to itself."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What needs a key: values of records, quarantined bodies, a lease that runs.

    Of a generation of token keys, `values` are the rows whose tokens it made. `old_tokens` are the
    rows that keep its tokens beside newer ones: those go with it. `closed` are the rows of closed
    months that have its tokens.
    """

    values: int = 0
    bodies: int = 0
    leases: int = 0
    old_tokens: int = 0
    closed: int = 0


class KeyNeeds(Protocol):
    """May count what needs a key."""

    def of_data_key(self, key_id: int) -> Needs:
        """Of a data key; its lease runs by the database's clock."""

    def of_generation(self, generation: int, *, counted: bool) -> Needs:
        """Of a generation of token keys: by the counts that are kept, or `counted` from all rows."""


class KeyEnder(Protocol):
    """May end keys, behind the fence, and on the record: the entry is part of the transaction."""

    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Make those of these data keys `decrypt_only` whose lease is over, in one transaction; their ids.

        `PAGE_KEYS` at most. Those whose lease runs, and those that are not active, are left.
        """

    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Take the bytes of these keys away, in one transaction; the ids of those that had some.

        Only of keys that are `decrypt_only` then: those gain no row any more. A pending key is ended
        by `TokenRotations.abort` alone.
        """
