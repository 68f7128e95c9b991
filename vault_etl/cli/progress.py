"""Progress of long work: a live line on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from vault_etl import logs


class LiveProgress:
    """`Progress` that a person watches. `total` is a guess that may grow, or None."""

    def __init__(self, title: str, total: int | None) -> None:
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24)]
        columns += [MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
        self._bars = RichProgress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._bars.add_task(title, total=total)
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

    def advance(self, done: int, **_details: int | str) -> None:
        """See `Progress.advance`."""
        self._done += done
        if self._total is not None:
            self._total = max(self._total, self._done)
        self._bars.update(self._task, completed=self._done, total=self._total)


class LoggedProgress:
    """`Progress` as one log line a step."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._log = logs.get_logger()

    def advance(self, done: int, **details: int | str) -> None:
        """See `Progress.advance`."""
        self._log.info(self._title, done=done, **details)


@contextlib.contextmanager
def progress(
    title: str, *, total: int | None, quiet: bool
) -> Iterator[LiveProgress | LoggedProgress]:
    """The progress for where standard error goes. `quiet` leaves the log lines to the log level."""
    if sys.stderr.isatty() and not quiet:
        with LiveProgress(title, total) as live:
            yield live
    else:
        yield LoggedProgress(title)
