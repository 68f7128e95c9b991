"""Waits before the next try: for a service that is unavailable, and for locks that others hold.

docs/adr/0059-commands-start-fast.md says why no library counts the tries.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from vault_etl.base.errors import DeniedError, IncompleteError, VaultEtlError
from vault_etl.platform.clock import Clock, Progress, Stop


@dataclass(frozen=True, slots=True)
class Growing:
    """Seconds between tries: `first`, twice as many each time, `most` at most, each plus up to `jitter` at random."""

    first: float
    most: float
    jitter: float = 0.0

    def after(self, tries: int) -> float:
        """Return the seconds to wait after so many tries."""
        doubled = math.ldexp(self.first, min(tries - 1, _MOST_DOUBLINGS))
        return min(doubled, self.most) + random.uniform(0, self.jitter)  # noqa: S311 - no secret


_MOST_DOUBLINGS: Final = 64


class Backoff:
    """The successive waits of an outage or a lock."""

    def __init__(self, waits: Growing) -> None:
        self._waits = waits
        self.reset()

    def next(self) -> float:
        """Return the seconds until the next try."""
        self._tries += 1
        return self._waits.after(self._tries)

    def reset(self) -> None:
        """Start again with the first wait."""
        self._tries = 0


BACKOFF: Final = Growing(0.5, 30, jitter=1)
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


BETWEEN_TRIES: Final = Growing(0.5, 4, jitter=1)
"""Seconds between two tries. A cut-over blocks loaders for at most 0.2 s in each try, a small part of the time."""

T = TypeVar("T")
P = ParamSpec("P")

_AGAIN: Final = Growing(0.1, 5, jitter=1)


def retried(
    kinds: type[Exception] | tuple[type[Exception], ...], *, tries: int, within: float = 45.0
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Call a function up to `tries` times while it raises an error of these kinds, after which nothing is changed.

    The last error is raised; no try begins after `within` seconds. Waits for 0.1, 0.2, … 5 s, each plus up to 1 at
    random.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            ends = time.monotonic() + within
            tried = 0
            while True:
                tried += 1
                try:
                    return function(*args, **kwargs)
                except kinds:
                    pause = _AGAIN.after(tried)
                    if tried == tries or time.monotonic() + pause > ends:
                        raise
                time.sleep(pause)

        return call

    return decorate


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
