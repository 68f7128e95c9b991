"""A call that waits for a lock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.scratch import Scratch
from tests.kit.waiting import until

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
