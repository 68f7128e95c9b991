"""A call that waits for a lock of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.scratch import Scratch

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
    ends = time.monotonic() + 20
    while not scratch.value(WAITING):
        assert thread.is_alive(), "it did not wait"
        assert time.monotonic() < ends
        time.sleep(0.02)
    try:
        yield results
    finally:
        thread.join(20)
    assert len(results) == 1
