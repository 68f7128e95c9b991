"""Several processes that run one at a time, and change places where a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.kit.fakes.tap import Tap

PATIENCE_S = 30
"""Real seconds, after which a test gives up: far more than anything takes."""


class Turns:
    """Each call of a port is a turn. `order` says whose is next, and when it ends, the first one's.

    `after_each` is called after each turn, whatever came of it: what it raises, `run` raises.
    """

    def __init__(
        self, order: Iterable[int] = (), after_each: Callable[[], None] = lambda: None
    ) -> None:
        self._order = iter(order)
        self._after_each = after_each
        self._changed = threading.Condition()
        self._alive: list[int] = []
        self._current = -1
        self._wrong: BaseException | None = None

    def tap(self, process: int) -> Callable[[object], Any]:
        """Return a part as the process with this number sees it."""
        return lambda target: Tap(target, lambda _, call: self._take(process, call))

    def run(self, *processes: Callable[[], object]) -> Sequence[object]:
        """Run them until all have ended; what each returned, or the error that it raised."""
        results: list[object] = [None] * len(processes)
        self._alive = list(range(len(processes)))
        threads = [
            threading.Thread(target=self._process, args=(number, run, results), daemon=True)
            for number, run in enumerate(processes)
        ]
        for thread in threads:
            thread.start()
        self._pass_on()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a process does not end"
        if self._wrong is not None:
            raise self._wrong
        return results

    def _process(self, number: int, run: Callable[[], object], results: list[object]) -> None:
        self._wait_for(number)
        try:
            results[number] = run()
        except BaseException as error:  # noqa: BLE001 - the test inspects it
            results[number] = error
        self._alive.remove(number)
        self._pass_on()

    def _take(self, number: int, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        self._pass_on()
        self._wait_for(number)
        try:
            return call()
        finally:
            self._look()

    def _look(self) -> None:
        try:
            self._after_each()
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self._wrong = self._wrong or error

    def _wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._current == number, PATIENCE_S)

    def _pass_on(self) -> None:
        """Pass the turn on, as the process that has the turn."""
        with self._changed:
            if self._alive:
                self._current = self._alive[next(self._order, 0) % len(self._alive)]
            self._changed.notify_all()
