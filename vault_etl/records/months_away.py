"""What a look did not see, since it is in no table: said wherever it could be taken for what is not there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vault_etl.base.errors import MonthAwayError, NotFoundError
from vault_etl.records.month_away import MonthAway
from vault_etl.records.months import Months


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
