"""The one loop in which a test waits for something."""

from __future__ import annotations

import time
from collections.abc import Callable

WITHIN_S = 60
PAUSE_S = 0.01


def until(
    holds: Callable[[], object],
    seconds: float = WITHIN_S,
    *,
    lives: Callable[[], object] = lambda: True,
    told: Callable[[], object] = lambda: "",
    pause: float = PAUSE_S,
) -> None:
    """Wait until `holds` is true.

    Raises `AssertionError` with the text of `told` when `seconds` are over, or `lives` is false, before that.
    """
    ends = time.monotonic() + seconds
    while not holds():
        assert lives(), told()
        assert time.monotonic() < ends, told()
        time.sleep(pause)
