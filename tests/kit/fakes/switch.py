"""A switch that makes calls of a part fail for as long as a test likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.kit.fakes.tap import Tap
from vault_etl.base.errors import UnavailableError


class Switch:
    """While `error` is set, the calls of these names raise it, before they have any effect."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.error: BaseException | None = None
        self.refused = 0

    def tap(self, target: object) -> Any:  # noqa: ANN401 - stands for any port
        """`target`, which can be switched off."""
        return Tap(target, self._around)

    def off(self, error: BaseException | None = None) -> None:
        """Make the calls fail from now on."""
        self.error = error or UnavailableError("not there")

    def on(self) -> None:
        """Make the calls work again."""
        self.error = None

    def _around(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        if self.error is not None and name in self._names:
            self.refused += 1
            raise self.error
        return call()
