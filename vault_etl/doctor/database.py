"""Checks of the database: migrations, schema, the months that have partitions, and the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.declaration.model import DeclaredEvent
from vault_etl.doctor.diagnose import Verdict

MONTHS_AHEAD: Final = 3
"""Months ahead for which ingest makes partitions, at its start and once a day."""

_OURS: Final = "every function, grant, trigger and table is as the migrations made it"
_NOT_OURS: Final = "is not of the migrations"
_ADDED: Final = "find out who made it, then DROP or REVOKE it"
_DETACHED: Final = (
    "the table may hold rows that are nowhere else: `vault-etl partitions list` names it"
)
_CHANGED: Final = "find out who changed it, then make it again as its migration does"
_MORE: Final = "(docs/operations/doctor.md, Guards that were changed)"


@dataclass(frozen=True, slots=True)
class ClosedArchive:
    """The archive of a closed month, or a set."""

    partition: str
    """The name of the month, or the id of the set."""
    alone: bool
    """True if the rows of a month are in the archive alone."""
    erasures: int
    """Erasures that wait for `lake erase`."""


class MonthFacts(Protocol):
    """Reads the state of months. Every login may do this."""

    def missing_months(self, events: Sequence[DeclaredEvent], ahead: int) -> Sequence[str]:
        """Return the months (2026-01), from this one to `ahead` later, of which an event has a part or nothing."""

    def detached_months(self) -> Sequence[str]:
        """Return the names of the tables of detached months."""

    def archives(self) -> Sequence[ClosedArchive]:
        """Return the archives of closed months, and the sets."""


def migrations(pending: Mapping[str, bool]) -> Sequence[Verdict]:
    """Check that no migration is pending; True marks online work, which lets later checks run."""
    if not all(pending.values()):
        do = "run `vault-etl migrate` as the owner"
        return [Verdict.bad(f"pending: {', '.join(pending)}", do)]
    if pending:
        left = f"online work is left: {', '.join(pending)}"
        good = Verdict.good("up to date, but for online work")
        return [good, Verdict.bad(left, "run `vault-etl migrate --online` as the owner")]
    return [Verdict.good("up to date")]


def schema(differences: Sequence[str]) -> Sequence[Verdict]:
    """Check that every guard inside Postgres is as the migrations made it: one verdict for each difference."""

    def hint(line: str) -> str:
        if line.startswith("detached partition "):
            return _DETACHED
        return _ADDED if line.endswith(_NOT_OURS) else _CHANGED

    return [Verdict.bad(line, f"{hint(line)} {_MORE}") for line in differences] or [
        Verdict.good(_OURS)
    ]


def partitions(facts: MonthFacts, events: Sequence[DeclaredEvent]) -> Verdict:
    """Check that these events have partitions of this month and the next ones. Report detached and archived months."""
    told = _closed(facts.detached_months(), facts.archives())
    if missing := facts.missing_months(events, MONTHS_AHEAD):
        return Verdict.bad(
            f"months without a partition, or with a part of one: {', '.join(missing)}{told}",
            "start `vault-etl ingest`, which makes them at its start and once a day, or run"
            " `vault-etl partitions ensure`; `vault-etl partitions list` shows which months are closed",
            missing_months=list(missing),
        )
    text = f"this month and {MONTHS_AHEAD} more have partitions{told}"
    return Verdict.good(text, missing_months=[])


def _closed(detached: Sequence[str], archives: Sequence[ClosedArchive]) -> str:
    alone = sum(archive.alone for archive in archives)
    stale = [archive.partition for archive in archives if archive.erasures]
    texts = (
        (detached, f"{len(detached)} detached, which no rotation reaches: {', '.join(detached)}"),
        (alone, f"{alone} archived"),
        (stale, f"archives and sets that wait for `lake erase`: {', '.join(stale)}"),
    )
    return "".join(f"; {text}" for is_shown, text in texts if is_shown)


def fence(size: int) -> Verdict:
    """Check that `key_fence` is empty (0 bytes): only its lock is used, so the table never holds a row."""
    if size:
        return Verdict.bad(
            "key_fence is not empty, or was not",
            "the table exists only to be locked: find out who wrote to it, then"
            " TRUNCATE vault_etl.key_fence as the owner",
        )
    return Verdict.good("key_fence is empty")
