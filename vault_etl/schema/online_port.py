"""The steps of an online migration, each of which is safe to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault_etl.platform.clock import Progress
from vault_etl.platform.waiting import Blocked


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done next to a table or to one of its partitions."""

    statement: str
    """What it is a part of: `index user_logins_user_id`."""
    table: str
    action: str
    """In words: `build`, `attach`, `validate`, `fill`."""
    bytes: int = field(compare=False)
    """Of the table, without its indexes. It may grow meanwhile."""

    def __str__(self) -> str:
        return f"{self.statement}, {self.table}: {self.action}"


class OnlineSteps(Protocol):
    """What is left of one migration, by the catalog's word, and the way to do it."""

    def left(self) -> Sequence[Step]:
        """The next step of each table that is not done, in order; empty: all is done."""

    def attempt(self, step: Step, rows: int, progress: Progress) -> int | Blocked:
        """Do the first of them, and tell meanwhile how far it is; how many rows were changed, of `rows` at the most."""
