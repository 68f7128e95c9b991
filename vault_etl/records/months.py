"""Which months no look at the table of records sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vault_etl.records.month_away import MonthAway


class Months(Protocol):
    """Reads which months are closed, and no record."""

    def away(self) -> Sequence[MonthAway]:
        """Every month that is not attached, the oldest first; those that were dropped too."""
