"""A month whose rows are not in the table of records, and what brings them back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from vault_etl.base.errors import MonthAwayError, NotFoundError
from vault_etl.records.partitions import PartitionState, sent_at


@dataclass(frozen=True, slots=True)
class MonthAway:
    """Record ids from `first` up to but not `until`, which no look at the table sees."""

    partition: str
    first: uuid.UUID
    until: uuid.UUID
    state: PartitionState
    """Any but `attached`."""
    since: dt.datetime | None
    """None: it was detached by hand."""
    archive: str | None
    """Where its archive is; None if it has none, or if this login is not told."""
    earliest: dt.date | None = None
    latest: dt.date | None = None
    """The days that its rows name, from the first to the last; None: it is not known which."""

    def __str__(self) -> str:
        """Which month, in which state, since when, and in which archive its rows are."""
        verb = "was" if self.state is PartitionState.DROPPED else "is"
        since = "" if self.since is None else f" since {_utc(self.since)}"
        if self.state is PartitionState.DROPPED:
            since = since.replace("since", "on")
        place = f", in {self.archive}" if self.archive and self.is_archived else ""
        return f"{self.partition} {verb} {self.state}{since}{place}"

    @property
    def is_archived(self) -> bool:
        """Whether its rows are in its archive alone."""
        return self.state is PartitionState.ARCHIVED

    @property
    def has_rows(self) -> bool:
        """Whether its rows are anywhere but in backups."""
        return self.state is not PartitionState.DROPPED

    @property
    def way_back(self) -> str:
        """What puts its rows into the table again."""
        attach = f"`vault-etl partitions attach {self.partition}`"
        first = f"`vault-etl partitions {{}} {self.partition}` and then {attach} bring it back"
        return {
            PartitionState.DETACHING: first.format("detach"),
            PartitionState.ARCHIVED: first.format("restore"),
            PartitionState.DROPPED: "what it had is in backups alone",
        }.get(self.state, f"{attach} brings it back")

    @property
    def opened_by(self) -> str:
        """What lets it take rows again."""
        sent = sent_at(self.first)
        if self.state is PartitionState.DROPPED and sent is not None:
            return f"`vault-etl partitions ensure {sent:%Y-%m} --reopen` makes it again"
        return self.way_back

    def may_name(self, since: dt.date | None, until: dt.date | None) -> bool:
        """Whether one of its rows may name a day from `since` to `until`, both included; None is no bound."""
        if self.earliest is None or self.latest is None:
            return True
        return (since is None or self.latest >= since) and (until is None or self.earliest <= until)

    def takes(self, record_id: uuid.UUID) -> bool:
        """Whether a record of this id is of this month."""
        return self.first <= record_id < self.until


def _utc(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


class Months(Protocol):
    """Reads which months are closed, and no record."""

    def away(self) -> Sequence[MonthAway]:
        """Every month that is not attached, the oldest first; those that were dropped too."""


class NotLookedAt:
    """The months that a look in the block has not seen, or may not have: those that are away before it or after it.

    One that is detached or attached meanwhile is among them.
    """

    def __init__(self, months: Months) -> None:
        self._port = months
        self.months: Sequence[MonthAway] = ()

    def __enter__(self) -> Self:
        self.months = self._away()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            after = self._away()
            there = {month.first for month in after}
            before = [month for month in self.months if month.first not in there]
            self.months = sorted([*before, *after], key=lambda month: month.first)

    def _away(self) -> Sequence[MonthAway]:
        return [month for month in self._port.away() if month.has_rows]


def no_such_record(months: Months, record_id: uuid.UUID | None, hint: str) -> NotFoundError:
    """The error for an id that no row of the table has: it says so if the id's month is not there."""
    away = months.away() if record_id else ()
    month = next((month for month in away if record_id and month.takes(record_id)), None)
    if month is None:
        return NotFoundError("there is no such record", hint=hint)
    if not month.has_rows:
        return NotFoundError(f"there is no such record: {month}", hint=month.way_back)
    return MonthAwayError(f"there is no such record in the table: {month}", hint=month.way_back)


def no_record_of_user(not_looked_at: Sequence[MonthAway]) -> NotFoundError:
    """The error for a user of whom no row of the table is."""
    if not not_looked_at:
        return NotFoundError(
            "there is no record of this user", hint="the id is matched as it stands"
        )
    names = ", ".join(month.partition for month in not_looked_at)
    return MonthAwayError(
        "there is no record of this user in the table, and months are not in it",
        hint=f"`vault-etl partitions list` shows where they are: {names}",
    )
