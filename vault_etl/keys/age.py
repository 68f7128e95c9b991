"""How old the keys in use are, how old they may be, and whether they are due to be rotated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from vault_etl.crypto.fields import KeyPurpose

Ages = Mapping[KeyPurpose, dt.timedelta]
"""By purpose: how old its oldest key is, or how old it may become."""


@dataclass(frozen=True, slots=True)
class KeyAge:
    """Of one purpose. Its text says what a person wants to know of it."""

    purpose: KeyPurpose
    age: dt.timedelta | None
    """Of the oldest key that is `active`, an expired lease's too; None: there is none."""
    limit: dt.timedelta
    """How old it may become; 0: as old as it likes."""

    @property
    def is_due(self) -> bool:
        """Whether to rotate: the oldest active key is older than it may be."""
        return self.age is not None and bool(self.limit) and self.age > self.limit

    @property
    def age_days(self) -> int | None:
        """Whole days."""
        return None if self.age is None else self.age.days

    @property
    def limit_days(self) -> int | None:
        """Whole days; None: no limit."""
        return self.limit.days if self.limit else None

    def __str__(self) -> str:
        if self.age is None:
            return f"there is no active {self.purpose} key"
        due = f"due after {self.limit.days}" if self.limit else "never due"
        return f"the oldest active {self.purpose} key is {self.age.days} days old, and {due}"


def key_age(purpose: KeyPurpose, ages: Ages, limits: Ages) -> KeyAge:
    """The age of a purpose's keys beside its limit; a purpose without a limit has none."""
    return KeyAge(purpose, ages.get(purpose), limits.get(purpose, dt.timedelta()))
