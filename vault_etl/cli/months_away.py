"""How the months are shown that a look did not see: an incomplete answer is never silent, `--quiet` or not."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from vault_etl.cli.printable import printable
from vault_etl.core.month_away import MonthAway

_SHOWN: Final = 12


def warn_of(months: Sequence[MonthAway], what: str = "not looked at:") -> None:
    """Name them on standard error, behind what this means for the answer. Nothing if there are none."""
    if not months:
        return
    count = "1 month that is" if len(months) == 1 else f"{len(months)} months that are"
    lines = [f"vault-etl: warning: {what} {count} not in the table"]
    lines += [f"  {printable(str(month))}" for month in months[:_SHOWN]]
    if len(months) > _SHOWN:
        lines.append(f"  and {len(months) - _SHOWN} more")
    sys.stderr.write("\n".join(lines) + "\n")


def listed(months: Sequence[MonthAway]) -> list[Mapping[str, object]]:
    """The same for JSON."""
    return [
        {
            "partition": month.partition,
            "state": month.state.value,
            "since": month.since,
            "archive": month.archive,
        }
        for month in months
    ]
