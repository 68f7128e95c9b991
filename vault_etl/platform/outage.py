"""A dependency that is away: why, since when, and when to try it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import tenacity

from vault_etl.base.errors import DeniedError, VaultEtlError
from vault_etl.platform.backoff import Backoff

BACKOFF: Final = tenacity.wait_exponential(multiplier=0.5, max=30) + tenacity.wait_random(0, 1)
"""Seconds between two tries: 0.5, 1, 2, … 30, and up to one more at random."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds an outage is waited for; None is for ever."""

    unavailable: float | None
    denied: float | None
    """A role that was changed, or credentials that ran out, may come right within minutes."""


FOLLOWING: Final = Patience(unavailable=None, denied=60)
"""Of an ingest that runs for ever: only a refusal that lasts needs somebody to look."""


class Outage:
    """One dependency's. Not thread-safe."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began = 0.0
        self._backoff = Backoff(BACKOFF)
        self.error: VaultEtlError | None = None
        """The last one, or None: it is not away."""
        self.retry_at = 0.0

    def failed(self, error: VaultEtlError, now: float) -> float:
        """One more try failed; the seconds until the next one. Raises `error` when patience is over.

        What was begun before the last failure was known, and fails before the next try, is no other
        try. A refusal has a time of its own: it does not begin with the outage before it.
        """
        denied = isinstance(error, DeniedError)
        if self.error is None or denied is not isinstance(self.error, DeniedError):
            self._began = now
            self._backoff.reset()
        elif now < self.retry_at:
            return self.retry_at - now
        self.error = error
        patience = self._patience.denied if denied else self._patience.unavailable
        delay = self._backoff.next()
        if patience is not None:
            left = self._began + patience - now
            if left <= 0:
                raise error
            delay = min(delay, left)  # the last try is made when patience ends, not long before
        self.retry_at = now + delay
        return delay

    def ended(self) -> None:
        """It works."""
        if self.error is not None:
            self.error = None
            self.retry_at = 0.0
