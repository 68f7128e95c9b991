"""Months that are not attached, on standard error: an incomplete answer says so, even with `--quiet`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vault_etl.cli.ui.printable import printable
from vault_etl.event.rejection import Reason
from vault_etl.records.unattached_months import Months, UnattachedMonth

if TYPE_CHECKING:
    from vault_etl.quarantine.read import QuarantinedRow

_SHOWN: Final = 12


def warn_of(months: Sequence[UnattachedMonth], what: str = "not searched:") -> None:
    """Name the months on standard error, after what their absence means. Without months, print nothing."""
    if not months:
        return
    count = "1 month that is" if len(months) == 1 else f"{len(months)} months that are"
    lines = [f"vault-etl: warning: {what} {count} not in the table"]
    lines += [f"  {printable(str(month))}" for month in months[:_SHOWN]]
    if len(months) > _SHOWN:
        lines.append(f"  and {len(months) - _SHOWN} more")
    sys.stderr.write("\n".join(lines) + "\n")


def say_what_opens(months: Sequence[UnattachedMonth], what: str) -> None:
    """Name closed months that messages wait for, and the command that lets each of them take rows again."""
    if not months:
        return
    lines = [f"vault-etl: {what}:"]
    lines += [f"  {printable(f'{month}: {month.opened_by}')}" for month in months[:_SHOWN]]
    if len(months) > _SHOWN:
        lines.append(f"  and {len(months) - _SHOWN} more")
    lines.append("  then `vault-etl quarantine retry --reason-code month_closed` moves them")
    sys.stderr.write("\n".join(lines) + "\n")


class WaitedFor:
    """Collects the closed months of quarantined messages. It asks the database at the first such message."""

    def __init__(self, months: Months) -> None:
        self._months = months
        self._unattached: Sequence[UnattachedMonth] | None = None
        self._found: dict[UnattachedMonth, None] = {}

    def see(self, row: QuarantinedRow) -> QuarantinedRow:
        """Note the month of a message, and return the message."""
        if row.reason_code == Reason.MONTH_CLOSED:
            if self._unattached is None:
                self._unattached = self._months.unattached()
            self._found |= {m: None for m in self._unattached if m.takes(row.record_id)}
        return row

    def tell(self) -> None:
        """Name the months, if there are any."""
        say_what_opens(list(self._found), "closed months that messages wait for")


def listed(months: Sequence[UnattachedMonth]) -> list[Mapping[str, object]]:
    """The months as JSON has them."""
    return [
        {
            "partition": month.partition,
            "state": month.state.value,
            "since": month.since,
            "archive": month.archive,
        }
        for month in months
    ]
