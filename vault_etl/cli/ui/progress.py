"""Progress of long work: a progress bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from typing_extensions import override

from vault_etl.platform.clock import Progress

BETWEEN_LINES_S: Final = 5.0
"""Seconds between lines. A rotation of a million rows has a thousand steps, and must not write as many lines."""


class LiveProgress(Progress):
    """A progress bar on a terminal, safe for threads. `total` is an estimate that may grow, or None."""

    def __init__(self, title: str, total: int | None) -> None:
        from rich import progress as bars
        from rich.console import Console

        columns = [bars.SpinnerColumn(), bars.TextColumn("{task.description}")]
        columns += [bars.BarColumn(bar_width=24), bars.MofNCompleteColumn()]
        columns += [bars.TimeElapsedColumn(), bars.TimeRemainingColumn()]
        self._bars = bars.Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._bars.add_task(title, total=total)
        self._title = title
        self._next = -math.inf
        self._lock = threading.Lock()
        self._done = 0
        self._total = total

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    @override
    def advance(self, done: int, **details: int | str) -> None:
        """Move the bar. A detail `left` sets the total: what is done, and what is left.

        Every five seconds a line shows one detail: `waiting_for`, or else `at`.
        """
        waiting = details.get("waiting_for")
        said = f"waiting for {waiting}" if waiting else details.get("at")
        with self._lock:
            self._done += done
            if "left" in details:
                self._total = self._done + int(details["left"])
            elif self._total is not None:
                self._total = max(self._total, self._done)
            self._bars.update(self._task, completed=self._done, total=self._total)
            if said and time.monotonic() >= self._next:
                self._next = time.monotonic() + BETWEEN_LINES_S
                line = f"{self._title}: {said}"  # above the bar, which has no room for it
                self._bars.console.print(line, markup=False, highlight=False)


class LoggedProgress(Progress):
    """Progress as log lines, safe for threads.

    A line has the number of all items that are done, and the details of the last step that did any. The
    first step is logged at once, later ones at most every five seconds, and the rest at the end.
    """

    def __init__(self, title: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        from vault_etl.base import logs

        self._title = title
        self._monotonic = monotonic
        self._log = logs.get_logger()
        self._lock = threading.Lock()
        self._done = self._written = 0
        self._details: dict[str, int | str] = {}
        self._next = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._done > self._written:
                self._write(self._details)

    @override
    def advance(self, done: int, **details: int | str) -> None:
        """Count the items, and log a line if one is due. A step without items has details of a wait, or none."""
        with self._lock:
            self._done += done
            if done:
                self._details = details
            if self._monotonic() >= self._next:
                self._write(details)

    def _write(self, details: dict[str, int | str]) -> None:
        self._log.info(self._title, done=self._done, **details)
        self._written = self._done
        self._next = self._monotonic() + BETWEEN_LINES_S


@contextlib.contextmanager
def progress(
    title: str, *, total: int | None, quiet: bool
) -> Iterator[LiveProgress | LoggedProgress]:
    """A progress bar if standard error is a terminal, else log lines; log lines too with `quiet`."""
    if sys.stderr.isatty() and not quiet:
        with LiveProgress(title, total) as live:
            yield live
    else:
        with LoggedProgress(title) as logged:
            yield logged


@contextlib.contextmanager
def elapsed(title: str) -> Iterator[None]:
    """A live line on a terminal for work of unknown length: its title, and the time since it began."""
    from rich import progress as bars
    from rich.console import Console

    columns = [bars.SpinnerColumn(), bars.TextColumn("{task.description}")]
    columns.append(bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        shown.add_task(title, total=None)
        yield
