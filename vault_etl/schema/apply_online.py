"""An online migration, step by step: what is left is looked up before each, so a run that was killed goes on."""

from __future__ import annotations

from typing import Final

from vault_etl.platform.clock import Clock, Pace, Progress
from vault_etl.platform.waiting import Blocked, until_unblocked
from vault_etl.schema.online_port import OnlineSteps

PAGE_ROWS: Final = 5_000
"""Of a transaction that fills rows."""


def apply_online(
    steps: OnlineSteps, progress: Progress, pace: Pace, clock: Clock, wait: float
) -> None:
    """Do every step. A lock that others hold is waited for a second at a time, for `wait` seconds in all.

    Raises IncompleteError after that, naming who holds it.
    """
    left = steps.left()
    changed = 0
    while left:
        step = left[0]
        progress.advance(0, at=str(step), left=len(left))
        rows = until_unblocked(
            lambda: _attempt(steps, pace, progress),
            f"{step.statement} is done up to {step.table}",
            clock,
            pace.stop,
            progress,
            wait,
        )
        changed += rows
        before, left = left, steps.left()
        done = max(0, len(before) - len(left))
        progress.advance(done, at=str(step), left=len(left), rows=changed)
        pace.wait(rows)


def _attempt(steps: OnlineSteps, pace: Pace, progress: Progress) -> int | Blocked:
    """The step that is next by now: a try that was blocked may have left an index to be made again."""
    left = steps.left()
    if not left:
        return 0
    return steps.attempt(left[0], pace.page_rows(PAGE_ROWS), progress)
