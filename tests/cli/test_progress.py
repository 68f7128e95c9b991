"""Progress of long work, told by several threads."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.fakes.clock import FakeClock
from vault_etl.base import logs
from vault_etl.cli.ui.progress import BETWEEN_LINES_S, LiveProgress, LoggedProgress


class Slow(int):
    """A number that gives another thread time to add a number of its own, if no lock prevents that."""

    __slots__ = ()

    def __radd__(self, other: int) -> int:
        """Give the other thread a few milliseconds."""
        _OTHERS[-1].start()
        _OTHERS[-1].join(0.02)
        return other + int(self)


_OTHERS: list[threading.Thread] = []


@pytest.mark.parametrize("kind", ["live", "logged"])
def test_two_threads_at_once_are_both_counted(kind: str) -> None:
    """No item is lost between the read of the count and the write of the count."""
    live, logged = LiveProgress("work", 2), LoggedProgress("work", FakeClock().monotonic)
    told = live if kind == "live" else logged
    _OTHERS.append(threading.Thread(target=told.advance, args=(1,)))
    told.advance(Slow(1))
    _OTHERS[-1].join(5)
    assert told._done == 2


def test_many_threads_never_move_the_bar_back() -> None:
    """The bar ends where the items end, and the total grows with them."""
    live = LiveProgress("work", 10)

    def work() -> None:
        for _ in range(100):
            live.advance(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    (task,) = live._bars.tasks
    assert (task.completed, task.total) == (800, 800)


def test_a_wait_is_a_line_above_the_live_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line is whole, even where the live line has little room, and is not written at each update."""
    live = LiveProgress("rotate", 2)
    for _ in range(3):
        live.advance(0, waiting_for="1 range that another process has claimed")
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("rotate: waiting for 1 range that another process has claimed") == 1


def test_remaining_items_make_the_total_and_the_place_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The total becomes known during the work, and shrinks by the items of another process."""
    live = LiveProgress("migrate", None)
    live.advance(0, at="index a, user_logins_2026_01: build", left=7)
    live.advance(2, left=3)
    (task,) = live._bars.tasks
    assert (task.completed, task.total) == (2, 5)
    said = " ".join(capsys.readouterr().err.split())
    assert "migrate: index a, user_logins_2026_01: build" in said


def said(work: Callable[[], None]) -> list[dict[str, Any]]:
    """The log lines of this work."""
    logs.configure("json", verbose=False, quiet=False)
    with contextlib.redirect_stderr(io.StringIO()) as written:
        work()
    return [json.loads(line) for line in written.getvalue().splitlines()]


def logged_lines(
    steps: list[tuple[float, int, dict[str, int | str]]],
) -> list[dict[str, Any]]:
    """The details in the log lines of steps, each given with the seconds since the step before."""

    def work() -> None:
        clock = FakeClock()
        with LoggedProgress("work", clock.monotonic) as logged:
            for seconds, done, details in steps:
                clock.advance(seconds)
                logged.advance(done, **details)

    of_each_line = {"event", "level", "timestamp"}
    return [{k: v for k, v in line.items() if k not in of_each_line} for line in said(work)]


def test_a_single_step_is_one_line() -> None:
    """A single step is logged at once, with its details, and not again at the end."""
    assert logged_lines([(0, 2, {"moved": 1})]) == [{"done": 2, "moved": 1}]


def test_a_thousand_steps_are_a_line_in_five_seconds_and_one_at_the_end() -> None:
    """Each line has the number of all items that are done."""
    lines = logged_lines([(0.1, 1_000, {"place": "user_logins"})] * 1_000)
    assert len(lines) == 100 / BETWEEN_LINES_S + 1
    done = [line["done"] for line in lines]
    assert done == sorted(set(done))
    assert done[-1] == 1_000_000
    assert {line["place"] for line in lines} == {"user_logins"}


def test_a_wait_is_logged_but_is_not_the_last_line() -> None:
    """A wait is a step of no items: the last line has the details of the last items."""
    assert logged_lines(
        [
            (0, 1, {"place": "user_logins"}),
            (1, 4, {"place": "quarantine"}),
            (5, 0, {"waiting_for": "pid 7"}),
            (1, 2, {"place": "user_logins"}),
            (1, 0, {"waiting_for": "pid 8"}),
        ]
    ) == [
        {"done": 1, "place": "user_logins"},
        {"done": 5, "waiting_for": "pid 7"},
        {"done": 7, "place": "user_logins"},
    ]


def test_an_empty_run_logs_no_line() -> None:
    """An empty run has no step to log."""
    assert logged_lines([]) == []


def test_work_that_fails_says_how_far_it_came() -> None:
    """The last line is written whatever ends the work."""

    def work() -> None:
        with pytest.raises(ValueError, match="a bug"):
            _fail_after_two()

    assert [line["done"] for line in said(work)] == [1, 2]


def _fail_after_two() -> None:
    with LoggedProgress("work", FakeClock().monotonic) as logged:
        logged.advance(1)
        logged.advance(1)
        raise ValueError("a bug")
