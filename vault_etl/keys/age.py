"""How old the keys in use are, how old they may be, and whether they are due to be rotated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.base.errors import VaultEtlError
from vault_etl.crypto.fields import ROTATED, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.platform.clock import Clock

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


ASK_SECONDS: Final = 60.0
"""How often the database is asked at most."""


class KeyAgeWatch:
    """A step for a thread of its own: a database that does not answer holds up nobody else."""

    def __init__(self, ages: KeyAges, limits: Ages, clock: Clock, observer: KeyAgeObserver) -> None:
        self._ages = ages
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._ask_at: float | None = None

    def look(self) -> bool:
        """Ask and tell, at the first call and once a minute from then on. Always False.

        Whatever keeps it from asking is left to those who cannot do without: it is asked again a
        minute later, and until then the last answer stands.
        """
        now = self._clock.monotonic()
        if self._ask_at is None:
            for purpose in ROTATED:
                self._observer.key_limit(purpose, self._limits[purpose])
        elif now < self._ask_at:
            return False
        self._ask_at = now + ASK_SECONDS
        try:
            ages = self._ages.oldest(KeyState.ACTIVE)
        except VaultEtlError:
            return False
        for purpose in ROTATED:
            self._observer.key_age(purpose, ages.get(purpose))
        return False


class KeyAges(Protocol):
    """May read when keys were made."""

    def oldest(self, state: KeyState) -> Ages:
        """The age of each purpose's oldest key in this state, by the clock that dated it.

        A purpose without such a key is left out.
        """


class KeyAgeObserver(Protocol):
    """Told now and then, by one thread."""

    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        """How old keys of this purpose may become; 0: as old as they like."""

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """How old the oldest active key of this purpose is; None: there is none."""
