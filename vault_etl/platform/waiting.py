"""Waits before the next try: for a service that is unavailable, and for locks that others hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity
from tenacity.wait import wait_base

from vault_etl.base.errors import DeniedError, IncompleteError, VaultEtlError
from vault_etl.platform.clock import Clock, Progress, Stop


class Backoff:
    """The successive waits of a tenacity strategy. Its loop is not used (ADR 8)."""

    def __init__(self, wait: wait_base) -> None:
        self._wait = wait
        self.reset()

    def next(self) -> float:
        """Return the seconds until the next try."""
        seconds = self._wait(self._tries)
        self._tries.prepare_for_next_attempt()
        return seconds

    def reset(self) -> None:
        """Start again with the first wait."""
        self._tries = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})


BACKOFF: Final = tenacity.wait_exponential(multiplier=0.5, max=30) + tenacity.wait_random(0, 1)
"""Seconds between two tries: 0.5, 1, 2, … 30, each plus up to 1 at random."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The seconds for which an outage is tolerated; None: without end."""

    unavailable: float | None
    denied: float | None
    """A changed role or expired credentials may be mended within minutes."""


FOLLOWING: Final = Patience(unavailable=None, denied=60)
"""The patience of `ingest --follow`: only a lasting refusal needs an operator."""


class Outage:
    """The outage of one dependency: its error, its beginning, and the time of the next try. Not thread-safe."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began = 0.0
        self._backoff = Backoff(BACKOFF)
        self.error: VaultEtlError | None = None
        """The last error; None while the dependency works."""
        self.retry_at = 0.0

    def failed(self, error: VaultEtlError, now: float) -> float:
        """Record a failed try, and return the seconds until the next one. Raises `error` when patience ends.

        Failures of calls already in flight do not count as a new try. A refusal has its own patience, which
        begins with the first refusal, not with the outage before it.
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
            delay = min(delay, left)  # the last try comes when patience ends, not long before
        self.retry_at = now + delay
        return delay

    def ended(self) -> None:
        """Record a success."""
        if self.error is not None:
            self.error = None
            self.retry_at = 0.0


BETWEEN_TRIES: Final = tenacity.wait_exponential(multiplier=0.5, max=4) + tenacity.wait_random(0, 1)
"""Seconds between two tries. A cut-over blocks loaders for at most 0.2 s in each try, a small part of the time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blocked:
    """A lock was not granted in time, and nothing was changed. `by`: sessions that held it, if still there."""

    by: tuple[str, ...]


def until_unblocked(
    attempt: Callable[[], T | Blocked],
    what: str,
    clock: Clock,
    stop: Stop,
    progress: Progress,
    wait: float,
) -> T:
    """Return the result of the first attempt that is not blocked. A blocked attempt has changed nothing.

    Between two attempts the sessions that wait behind the lock go on. After `wait` seconds raises
    IncompleteError, with `what` and the sessions that hold the lock.
    """
    deadline = clock.monotonic() + wait
    backoff = Backoff(BETWEEN_TRIES)
    while isinstance(result := attempt(), Blocked):
        left = deadline - clock.monotonic()
        if left <= 0:
            raise _still_blocked(what, result)
        progress.advance(0, waiting_for=", ".join(result.by) or "sessions that have ended")
        stop.wait(min(left, backoff.next()))
    return result


def _still_blocked(what: str, blocked: Blocked) -> IncompleteError:
    by = f", held by {', '.join(blocked.by)}" if blocked.by else ""
    return IncompleteError(
        f"{what}, but for its locks{by}",
        hint="run the command again when they are done, or with a longer --wait: it continues from here",
    )
