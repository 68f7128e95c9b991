"""Waits of tests: the one loop in which a test waits, and a call that waits for a lock of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.scratch import Scratch

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


WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


@contextmanager
def in_the_way(scratch: Scratch, work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run `work` in a thread; the block begins when it waits for a lock, and its result comes after."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    until(lambda: scratch.value(WAITING), lives=thread.is_alive, told=lambda: "it did not wait")
    try:
        yield results
    finally:
        thread.join(20)
    assert len(results) == 1
