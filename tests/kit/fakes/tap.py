"""Something between a caller and a port that sees each call, and may break it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from vault_etl.base.errors import VaultEtlError

Around = Callable[[str, Callable[[], Any]], Any]


class Tap:
    """Passes every method call on to `target` through `around(name, call)`."""

    def __init__(self, target: object, around: Around) -> None:
        self._target = target
        self._around = around

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        method = getattr(self._target, name)

        def tapped(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 - as the method
            return self._around(name, lambda: method(*args, **kwargs))

        return tapped if callable(method) else method


class Serial:
    """One call at a time, however many threads: the parts are one database's."""

    def __init__(self, around: Around = lambda _, call: call()) -> None:
        self._lock = threading.RLock()
        self._around = around

    def tap(self, target: object) -> Any:  # noqa: ANN401 - stands for any port
        """`target`, safe for threads; `around` is not called twice at once either."""
        return Tap(target, self._call)

    def _call(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        with self._lock:
            return self._around(name, call)


class Recorder:
    """Writes the names of the calls down, in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def tap(self, target: object) -> Any:  # noqa: ANN401 - stands for any port
        """`target`, seen."""
        return Tap(target, self._record)

    def _record(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        self.calls.append(name)
        return call()


class Breaker:
    """Raises `error` at the call with the number `at`, counted from 0 over all taps.

    `after` lets the call take effect first: its answer is lost. From then on, if `for_good`, every
    call raises, as in a process that is dead.
    """

    def __init__(
        self, at: int, error: BaseException, *, after: bool = False, for_good: bool = False
    ) -> None:
        self._at = at
        self._error = error
        self._after = after
        self._for_good = for_good
        self.calls = 0
        self.broken: str | None = None
        """The name of the first call that was broken."""

    def tap(self, target: object) -> Any:  # noqa: ANN401 - stands for any port
        """`target`, to be broken."""
        return Tap(target, self._break)

    @property
    def broke(self) -> bool:
        """Tell whether the tap reached the call at which it breaks."""
        return self.calls > self._at

    def _break(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        number, self.calls = self.calls, self.calls + 1
        if number < self._at or (number > self._at and not self._for_good):
            return call()
        self.broken = self.broken or name
        if number == self._at and self._after:
            with contextlib.suppress(VaultEtlError):  # an answer too
                call()
        raise self._error
