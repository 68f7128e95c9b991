"""Key ages: how old the keys in use are, their limits, and a watch that reports both."""

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
"""For each purpose, the age of its oldest key, or the age that its keys may reach."""


@dataclass(frozen=True, slots=True)
class KeyAge:
    """The age of the keys of one purpose. Its text is for people."""

    purpose: KeyPurpose
    age: dt.timedelta | None
    """The age of the oldest key that is `active`, also one whose lease has expired; None: there is no such key."""
    limit: dt.timedelta
    """The age that the key may reach; 0: no limit."""

    @property
    def is_due(self) -> bool:
        """Say whether to rotate: the oldest active key is older than its limit."""
        return self.age is not None and bool(self.limit) and self.age > self.limit

    @property
    def age_days(self) -> int | None:
        """The age in whole days."""
        return None if self.age is None else self.age.days

    @property
    def limit_days(self) -> int | None:
        """The limit in whole days; None: no limit."""
        return self.limit.days if self.limit else None

    def __str__(self) -> str:
        if self.age is None:
            return f"there is no active {self.purpose} key"
        due = f"due after {self.limit.days}" if self.limit else "never due"
        return f"the oldest active {self.purpose} key is {self.age.days} days old, and {due}"


def key_age(purpose: KeyPurpose, ages: Ages, limits: Ages) -> KeyAge:
    """Return the age of a purpose's keys beside its limit. A purpose that `limits` leaves out has no limit."""
    return KeyAge(purpose, ages.get(purpose), limits.get(purpose, dt.timedelta()))


ASK_SECONDS: Final = 60.0
"""The database is asked at most this often."""


class KeyAgeWatch:
    """Reports key ages from a thread of its own, so that a database that does not answer delays nothing else."""

    def __init__(self, ages: KeyAges, limits: Ages, clock: Clock, observer: KeyAgeObserver) -> None:
        self._ages = ages
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._ask_at: float | None = None

    def step(self) -> bool:
        """Read the ages and report them, at the first call and then once a minute. Always return False.

        A failure to read them is ignored: the next try is a minute later, and until then the last
        reported ages remain.
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
        """Return the age of each purpose's oldest key in this state, by the clock that dated it.

        A purpose without such a key is left out.
        """


class KeyAgeObserver(Protocol):
    """Receives limits and ages now and then, from one thread."""

    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        """Take the age that keys of this purpose may reach; 0: no limit."""

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """Take the age of the oldest active key of this purpose; None: there is no active key."""
