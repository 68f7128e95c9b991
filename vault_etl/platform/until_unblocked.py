"""What needs locks that others hold: tried until it has them, with pauses in which those who wait behind it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity

from vault_etl.base.errors import IncompleteError
from vault_etl.base.progress import Progress
from vault_etl.platform.backoff import Backoff
from vault_etl.platform.clock import Clock
from vault_etl.platform.pace import Stop

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
