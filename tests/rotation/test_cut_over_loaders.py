"""An attempt to cut over delays a loader for less than 300 ms.

Times are those of the server. A test of a short time takes the quickest of several attempts: a busy
machine may slow down one attempt, whereas a fault in the statements slows down all of them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.kit.cut_over import Ready
from tests.kit.scratch import Scratch, sealed_record
from tests.kit.waiting import until
from tests.rotation.blockers import (
    DUMP,
    PARTITION,
    QUERY,
    TABLE,
    blocking,
)
from vault_etl.platform.waiting import Blocked
from vault_etl.records.fenced_writes import KeysChanged, Loaded


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


@contextmanager
def loading(vault: Ready) -> Iterator[list[Loaded | KeysChanged]]:
    """A loader that stores one row after another, each in a transaction of its own."""
    results: list[Loaded | KeysChanged] = []
    stop = threading.Event()

    def load() -> None:
        made = {"next_tokens": vault.records[0].tokens, "next_token_generation": 2}
        with vault.scratch.loader() as loader:
            while not stop.is_set():
                row = sealed_record(vault.keys, **made)
                result = loader.load([row], [], vault.both)
                assert isinstance(result, Loaded | KeysChanged)
                results.append(result)
                if result == KeysChanged():
                    new = sealed_record(vault.keys, token_generation=2)
                    assert isinstance(loader.load([new], [], vault.after), Loaded)
                    return

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load)
        try:
            until(lambda: len(results) > 2)
            yield results
        finally:
            stop.set()
        running.result()


@pytest.fixture
def watched(vault: Ready) -> Ready:
    """A server that logs each wait for a lock of 10 ms or more."""
    vault.scratch.sql(
        f'ALTER DATABASE "{vault.scratch.name}" SET log_lock_waits = on;'
        f"ALTER DATABASE \"{vault.scratch.name}\" SET deadlock_timeout = '10ms'"
    )
    return vault


def log_from(scratch: Scratch, offset: int) -> str:
    """The lines that the server has logged since this offset."""
    return scratch.server.log.read_bytes()[offset:].decode()


@pytest.mark.parametrize("blocker", [QUERY, TABLE, PARTITION, DUMP], ids=lambda b: b[1][:30])
def test_no_loader_waits_more_than_300_ms(watched: Ready, blocker: tuple[str, str]) -> None:
    """During a blocked attempt: the longest wait in the server's log, in the best of three attempts."""
    scratch = watched.scratch
    relation = scratch.value("SELECT 'key_fence'::regclass::oid")
    acquired = (
        rf"acquired RowExclusiveLock on relation {relation} of database \d+ after ([\d.]+) ms"
    )
    longest = []
    with blocking(watched, blocker), loading(watched) as results:
        for _ in range(3):
            offset = scratch.server.log.stat().st_size
            assert isinstance(watched.cut_over(), Blocked)
            stored = len(results)
            until(lambda stored=stored: len(results) > stored + 1)  # type: ignore[misc]
            waits = re.findall(acquired, log_from(scratch, offset))
            longest.append(max(map(float, waits), default=0.0))
    assert KeysChanged() not in results
    assert min(longest) < 300, longest
    assert max(longest) > 100, longest


def test_a_loader_that_waits_for_the_cut_over_writes_no_old_token(watched: Ready) -> None:
    """The loader finds the keys changed, makes its tokens again, and continues; each row has one generation."""
    with loading(watched) as results:
        swapped = watched.cut_over()
        while isinstance(swapped, Blocked):
            swapped = watched.cut_over()
        until(lambda: results[-1] == KeysChanged())
    generations = watched.scratch.sql(
        "SELECT DISTINCT token_generation, next_token_generation FROM user_logins ORDER BY 2"
    )
    assert generations == [(2, 1), (2, None)]
    assert watched.scratch.value("SELECT count(*) FROM user_logins") == len(results) + 4


def test_locks_are_held_for_less_than_a_second(vault: Ready) -> None:
    """The time from the fence to the commit, by the database's clock."""
    assert 0 < vault.swap().held_ms < 1000
