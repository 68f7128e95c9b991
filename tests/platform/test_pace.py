"""The pace of a rotation: so many rows a second, however fast or slow each page is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.clock import FakeClock, FakeStop
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import filled_vault, seen_by
from vault_etl.platform.clock import Pace


@given(
    rate=st.floats(1, 10_000),
    pages=st.lists(st.tuples(st.integers(0, 1_000), st.floats(0, 5)), max_size=30),
)
def test_rows_never_come_faster_than_the_limit(rate: float, pages: list[tuple[int, float]]) -> None:
    """The limit holds but for the page in hand: no time is made up for after a slow page."""
    clock = FakeClock()
    pace = Pace(clock, rate, FakeStop(clock))
    ends: list[tuple[float, int]] = []
    for most, seconds in pages:
        rows = min(most, pace.page_rows(1_000))
        clock.advance(seconds)
        ends.append((clock.monotonic(), rows))
        pace.wait(rows)
    for first, (since, page) in enumerate(ends):
        for until, _ in ends[first:]:
            done = sum(rows for at, rows in ends[first:] if at <= until)
            largest = max(rows for _, rows in ends[first:])
            assert done <= rate * (until - since) + page + largest + 1e-6


@given(rate=st.floats(1, 10_000), most=st.integers(1, 10_000))
def test_a_page_is_a_seconds_worth_at_the_most(rate: float, most: int) -> None:
    """A slice is short, so that no claim is held for long, and has at least one row."""
    rows = Pace(FakeClock(), rate).page_rows(most)
    assert 1 <= rows <= max(1, min(most, rate))


def test_a_pace_without_a_limit_never_waits() -> None:
    """The wait is 0 after any number of rows."""
    clock = FakeClock()
    pace = Pace(clock, None, FakeStop(clock))
    pace.wait(1_000_000)
    assert (pace.page_rows(1_000), clock.monotonic()) == (1_000, 0)


def test_several_workers_share_one_limit() -> None:
    """Each worker waits for the rows of the others too."""
    clock = FakeClock()
    waits: list[float] = []

    class Noting(FakeStop):
        def wait(self, timeout: float) -> bool:
            waits.append(timeout)  # and the clock does not move, as if all came at once
            return False

    pace = Pace(clock, 10, Noting(clock))
    for _ in range(4):
        pace.wait(10)
    assert waits == pytest.approx([1, 2, 3, 4])


def test_a_stop_ends_a_wait() -> None:
    """No worker sleeps through a stop."""
    stop = threading.Event()
    pace = Pace(FakeClock(), 1, stop)
    thread = threading.Thread(target=pace.wait, args=(3_600,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_rotation_keeps_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a second: pages of two rows, and eight rows take four seconds."""
    vault: FakeVault = filled_vault(monkeypatch)
    pages: list[tuple[float, int]] = []

    def noting(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "page":
            pages.append((vault.clock.monotonic(), len(answer.rows)))
        return answer

    report = seen_by(vault, noting).rotate(rate=2)
    assert report.values_reencrypted == 15
    assert {rows for _, rows in pages} <= {0, 1, 2}
    for at, _ in pages:
        assert sum(rows for earlier, rows in pages if earlier <= at) <= 2 * at + 2
    assert vault.clock.monotonic() == pytest.approx(4)
