"""The lock of an ingest, and how its threads wait: a change of the engine wakes only those that have work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import TracebackType
from typing import Final

from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.platform.clock import Clock

MORE_THREADS_HINT: Final = (
    "allow more: by the pids limit of the container, or by `ulimit -u` and `ulimit -n`"
)


class Role(Enum):
    """The work of a thread."""

    RECEIVE = auto()
    WRITE = auto()
    DELETE = auto()
    HOLD = auto()
    GIVE_BACK = auto()
    REVIEW = auto()
    WATCH = auto()
    END = auto()
    """The main thread, which waits for the end."""


class EngineLock:
    """The lock of the engine, as a context manager. A thread that has changed the engine calls `changed`.

    Time makes work too: a batch lingers, a message is due, an outage may be over. So no thread waits for long.
    """

    def __init__(self, engine: IngestEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.RLock()
        self._woken = {role: threading.Condition(self._lock) for role in Role}
        self._waiting = dict.fromkeys(Role, 0)
        """The number of threads of each role that wait."""
        self._work: Mapping[Role, Callable[[float], int]] = {
            Role.RECEIVE: lambda _: _calls(engine.room),
            Role.WRITE: engine.has_batch,
            Role.DELETE: lambda now: _calls(engine.to_delete(now)),
            Role.GIVE_BACK: lambda _: engine.may_give_back,
            Role.REVIEW: lambda _: engine.looks_empty,
            Role.END: lambda _: engine.is_finished or (engine.stopping and not engine.held),
        }
        """The number of threads of a role that have work now."""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def changed(self) -> None:
        """Wake as many threads of each role as have work now. The caller has the lock."""
        now = self._clock.monotonic()
        for role, work in self._work.items():
            if self._waiting[role] and (threads := work(now)):
                self._woken[role].notify(threads)

    def wake(self, role: Role) -> None:
        """Wake all threads of a role."""
        with self._lock:
            self._woken[role].notify_all()

    def wait(self, role: Role, seconds: float) -> None:
        """Wait until a change makes work for the role, for so many seconds at most.

        Return at once if a batch became due after the caller asked for one.
        """
        with self._lock:
            if role is Role.WRITE and self._engine.has_batch(self._clock.monotonic()):
                return
            self._waiting[role] += 1
            try:
                self._woken[role].wait(seconds)
            finally:
                self._waiting[role] -= 1


def _calls(messages: int) -> int:
    """Return the number of calls that so many messages need."""
    return -(-messages // MAX_CALL)
