"""How long to wait before the next try: ever longer, up to a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity
from tenacity.wait import wait_base

from vault_etl.base.errors import DeniedError, IncompleteError, VaultEtlError
from vault_etl.platform.clock import Clock, Progress, Stop


class Backoff:
    """The waits of one tenacity strategy, one after the other. Its loop is not used (ADR 8)."""

    def __init__(self, wait: wait_base) -> None:
        self._wait = wait
        self.reset()

    def next(self) -> float:
        """Seconds until the next try."""
        seconds = self._wait(self._tries)
        self._tries.prepare_for_next_attempt()
        return seconds

    def reset(self) -> None:
        """The next wait is the first one again."""
        self._tries = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})


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


BETWEEN_TRIES: Final = tenacity.wait_exponential(multiplier=0.5, max=4) + tenacity.wait_random(0, 1)
"""Seconds. A cut-over holds loaders up for as long as it waits itself, 0.2 s: so a tenth of the time at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blocked:
    """A lock was not granted in time, and nothing was changed. `by`: the sessions that held it, if still seen."""

    by: tuple[str, ...]


def until_unblocked(
    attempt: Callable[[], T | Blocked],
    what: str,
    clock: Clock,
    stop: Stop,
    progress: Progress,
    wait: float,
) -> T:
    """The result of the first attempt that is not blocked; a blocked one has changed nothing.

    After `wait` seconds raises IncompleteError: `what`, and who is in the way.
    """
    deadline = clock.monotonic() + wait
    backoff = Backoff(BETWEEN_TRIES)
    while isinstance(result := attempt(), Blocked):
        left = deadline - clock.monotonic()
        if left <= 0:
            raise _still_blocked(what, result)
        progress.advance(0, waiting_for=", ".join(result.by) or "nobody any more")
        stop.wait(min(left, backoff.next()))
    return result


def _still_blocked(what: str, blocked: Blocked) -> IncompleteError:
    by = f", held by {', '.join(blocked.by)}" if blocked.by else ""
    return IncompleteError(
        f"{what}, but for its locks{by}",
        hint="run it again when they are done, or with a longer --wait: it goes on from here",
    )
