"""Look now and then how old the keys are, beside an ingest that must not be disturbed by it."""

from __future__ import annotations

from typing import Final

from vault_etl.base.errors import VaultEtlError
from vault_etl.crypto.fields import ROTATED
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.age import Ages
from vault_etl.keys.key_ages import KeyAgeObserver, KeyAges
from vault_etl.platform.clock import Clock

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
