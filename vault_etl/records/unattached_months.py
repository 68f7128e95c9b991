"""Months whose rows are not in the table of records: their state, the way back, and the errors that name them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from vault_etl.base.errors import NotFoundError, UnattachedMonthError
from vault_etl.crypto.fields import EventName
from vault_etl.records.months import PartitionState, sent_at


@dataclass(frozen=True, slots=True)
class UnattachedMonth:
    """A month that is not in the table of its event: record ids from `first` up to but not `until`."""

    event: EventName
    partition: str
    first: uuid.UUID
    until: uuid.UUID
    state: PartitionState
    """Any state except `attached`."""
    since: dt.datetime | None
    """Time of the last change; None if the month was detached by hand."""
    archive: str | None
    """The location of the archive; None if there is no archive, or if this login may not see the location."""
    earliest: dt.date | None = None
    latest: dt.date | None = None
    """The first and the last day that the rows name; None if unknown."""

    def __str__(self) -> str:
        """The month, its state, the time of the last change, and the archive with its rows."""
        verb = "was" if self.state is PartitionState.DROPPED else "is"
        since = "" if self.since is None else f" since {_utc(self.since)}"
        if self.state is PartitionState.DROPPED:
            since = since.replace("since", "on")
        place = f", in {self.archive}" if self.archive and self.is_archived else ""
        return f"{self.partition} {verb} {self.state}{since}{place}"

    @property
    def is_archived(self) -> bool:
        """True if only the archive has the rows."""
        return self.state is PartitionState.ARCHIVED

    @property
    def has_rows(self) -> bool:
        """True if the rows exist outside of backups."""
        return self.state is not PartitionState.DROPPED

    @property
    def way_back(self) -> str:
        """The commands that put the rows into the table again."""
        attach = f"`vault-etl partitions attach {self.partition}`"
        first = f"`vault-etl partitions {{}} {self.partition}` and then {attach} bring it back"
        return {
            PartitionState.DETACHING: first.format("detach"),
            PartitionState.ARCHIVED: first.format("restore"),
            PartitionState.DROPPED: "what it had is in backups alone",
        }.get(self.state, f"{attach} brings it back")

    @property
    def opened_by(self) -> str:
        """The commands after which the month takes rows again."""
        sent = sent_at(self.first)
        if self.state is PartitionState.DROPPED and sent is not None:
            month = f"{self.event}_{sent:%Y_%m}"
            return f"`vault-etl partitions ensure {month} --reopen` makes it again"
        return self.way_back

    def may_name(self, since: dt.date | None, until: dt.date | None) -> bool:
        """True if a row may name a day from `since` to `until`, both included; None is no bound."""
        if self.earliest is None or self.latest is None:
            return True
        return (since is None or self.latest >= since) and (until is None or self.earliest <= until)

    def takes(self, record_id: uuid.UUID) -> bool:
        """True if a record of this event and id belongs to this month."""
        return self.first <= record_id < self.until


def _utc(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


class Months(Protocol):
    """Reads which months are unattached, and reads no record."""

    def unattached(self) -> Sequence[UnattachedMonth]:
        """Return every unattached month, the oldest first; dropped months too."""


class UnsearchedMonths:
    """The months that a search inside the `with` block did not see, or may not have seen.

    `events` are those that the search reads; None: all.
    These are the months that are unattached before the block or after it, so a month that is detached or
    attached during the search is among them.
    """

    def __init__(self, months: Months, events: Collection[EventName] | None = None) -> None:
        self._reader = months
        self._events = events
        self.months: Sequence[UnattachedMonth] = ()

    def __enter__(self) -> Self:
        self.months = self._with_rows()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            after = self._with_rows()
            known = {(month.event, month.first) for month in after}
            before = [month for month in self.months if (month.event, month.first) not in known]
            self.months = sorted([*before, *after], key=lambda month: (month.first, month.event))

    def _with_rows(self) -> Sequence[UnattachedMonth]:
        return [
            month
            for month in self._reader.unattached()
            if month.has_rows and (self._events is None or month.event in self._events)
        ]


def no_such_record(months: Months, record_id: uuid.UUID | None, hint: str) -> NotFoundError:
    """Build the error for an id that no row of the table has. If the id's month is not attached, the error says so."""
    unattached = months.unattached() if record_id else ()
    taking = [month for month in unattached if record_id and month.takes(record_id)]
    if not taking:
        return NotFoundError("there is no such record", hint=hint)
    month = next((month for month in taking if month.has_rows), taking[0])
    if not month.has_rows:
        return NotFoundError(f"there is no such record: {month}", hint=month.way_back)
    return UnattachedMonthError(
        f"there is no such record in the table: {month}", hint=month.way_back
    )


def no_record_of_user(unsearched: Sequence[UnattachedMonth]) -> NotFoundError:
    """Build the error for a user without a row in the table."""
    if not unsearched:
        return NotFoundError(
            "there is no record of this user", hint="the id is matched exactly as it is given"
        )
    names = ", ".join(month.partition for month in unsearched)
    return UnattachedMonthError(
        "there is no record of this user in the table, and months are not in it",
        hint=f"`vault-etl partitions list` shows where they are: {names}",
    )
