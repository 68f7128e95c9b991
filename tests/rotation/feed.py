"""Messages that keep arriving while another operation runs."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from tests.kit.messages import numbered
from tests.kit.vault import Vault

CALL = 10
SECONDS = 60


class Feed:
    """Sends events at `per_second` at most, and an invalid message among each fifty.

    The feed waits while `most` messages are on the queue and not settled: moto gets slow with many messages.
    """

    def __init__(self, vault: Vault, per_second: float, most: int) -> None:
        self.events: list[str] = []
        self.others: list[str] = []
        self._vault = vault
        self._pause = CALL / per_second
        self._most = most
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(SECONDS)
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def sent(self) -> int:
        """The number of messages sent."""
        return len(self.events) + len(self.others)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._send()
                while sum(self._vault.depth()) > self._most and not self._over.is_set():
                    self._over.wait(0.05)
                self._over.wait(max(0.0, self._pause - (time.monotonic() - began)))
        except BaseException as error:
            self._failure = error
            raise

    def _send(self) -> None:
        first = self.sent
        numbers = range(first, first + CALL)
        others = [f"no event, number {n}" for n in numbers if n % 50 == 0]
        declaration = self._vault.declaration
        events = [numbered(declaration, n).decode() for n in numbers if n % 50]
        self._vault.send([*events, *others])
        self.events += events
        self.others += others
