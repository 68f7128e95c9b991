"""A standard SQS queue on its worse days, all of which AWS documents."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from tests.kit.fakes.queue import FakeQueue, Held, PassingClock, Redrive
from vault_etl.base.errors import UnavailableError
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Message

UNDEAD_S = 5
"""A deleted message that comes again does so within this many seconds, and once."""


class Fault(StrEnum):
    """Faults that can happen. Each fault has its chance in `Faults`, under the same name."""

    DUPLICATE = "duplicate"
    REORDER = "reorder"
    SHORT = "short"
    EMPTY = "empty"
    DELETE_FAILURE = "delete_failure"
    EXTEND_FAILURE = "extend_failure"
    UNDEAD = "undead"
    UNAVAILABLE = "unavailable"
    ANSWER_LOST = "answer_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The chance of each fault, from 0 to 1."""

    duplicate: float = 0
    """Of a message received: another receive gets it too, while it is held."""
    reorder: float = 0
    """Of a receive: it brings what is visible in any order."""
    short: float = 0
    """Of a receive: it brings fewer than it may. SQS asks a sample of its servers."""
    empty: float = 0
    """Of a receive: it waits its time out and brings nothing, though there is something."""
    delete_failure: float = 0
    """Of a handle: it is among the failed ones of its call, and its message stays."""
    extend_failure: float = 0
    """Of a handle: it is not extended, for a passing reason."""
    undead: float = 0
    """Of a deleted message: it is delivered once more, within `UNDEAD_S`."""
    unavailable: float = 0
    """Of a call: throttled, a 5xx, a connection reset; it has no effect."""
    answer_lost: float = 0
    """Of a call: it has its effect, and its answer never comes."""


HARMLESS = Faults(reorder=1, short=0.5)
"""Faults within the contract of `Queue`: a caller that keeps to the contract does not notice them."""
BAD_DAY = Faults(
    duplicate=0.2,
    reorder=0.5,
    short=0.3,
    empty=0.2,
    delete_failure=0.2,
    extend_failure=0.2,
    undead=0.2,
    unavailable=0.1,
    answer_lost=0.1,
)
"""Everything at once."""


class FaultyQueue(FakeQueue):
    """`FakeQueue` with faults from a seeded source: one thread sees the same ones in every run.

    What holds whatever falls: a message that is not deleted comes again after its visibility
    time-out, and those sent are those deleted, still there, or among the dead letters.
    `faults` may be changed at any time. `fallen` counts those that took effect.
    """

    def __init__(
        self,
        clock: PassingClock,
        faults: Faults = BAD_DAY,
        *,
        seed: int = 0,
        visibility: float = 60,
        redrive: Redrive | None = None,
        tick: float = 1,
    ) -> None:
        super().__init__(clock, visibility, redrive=redrive, tick=tick)
        self.faults = faults
        self.fallen: Counter[Fault] = Counter()
        self._random = random.Random(seed)
        self._twice: list[Held] = []
        self._unextended = 0
        self._undead: dict[Held, float] = {}  # and until when each may come

    @override
    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        with self._call():
            if super().depth().visible and self._falls(Fault.EMPTY):
                self._clock.advance(wait_seconds)
                return []
            return super().receive(wait_seconds, limit)

    @override
    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        with self._call():
            return super().delete(receipt_handles)

    @override
    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        with self._call(), self._lock:
            self._unextended = 0
            stale = super().extend(seconds_by_handle)
            if self._unextended:
                raise UnavailableError("SQS did not extend some (a fault of this test)")
            return stale

    @override
    def depth(self) -> QueueDepth:
        with self._call():
            return super().depth()

    @override
    def visibility_timeout(self) -> int:
        with self._call():
            return super().visibility_timeout()

    @contextmanager
    def _call(self) -> Iterator[None]:
        if self._falls(Fault.UNAVAILABLE):
            raise UnavailableError("SQS did not do it (a fault of this test)")
        yield
        if self._falls(Fault.ANSWER_LOST):
            raise UnavailableError("SQS cannot be reached (a fault of this test)")

    def _falls(self, fault: Fault) -> bool:
        with self._lock:
            chance: float = getattr(self.faults, fault)
            falls = self._random.random() < chance
            self.fallen[fault] += falls
            return falls

    def _take(self, limit: int) -> list[Message]:
        with self._lock:
            if limit > 1 and super().depth().visible >= limit and self._falls(Fault.SHORT):
                limit = self._random.randint(1, limit - 1)
            return super()._take(limit)

    def _due(self) -> list[Held]:
        due = super()._due()
        self._twice = [
            held for held in self._twice if held.number in self._messages and self._hidden(held)
        ]
        now = self._clock.monotonic()
        self._undead = {held: until for held, until in self._undead.items() if now <= until}
        due += self._twice
        due += [held for held in self._undead if not self._hidden(held)]
        if len(due) > 1 and self._falls(Fault.REORDER):
            self._random.shuffle(due)
        return due

    def _hand_out(self, held: Held) -> Message:
        if held in self._twice:
            self._twice.remove(held)
            self.fallen[Fault.DUPLICATE] += 1
        elif held in self._undead:
            del self._undead[held]
            self.fallen[Fault.UNDEAD] += 1
        elif self._random.random() < self.faults.duplicate:
            self._twice.append(held)
        return super()._hand_out(held)

    def _delete(self, handle: str) -> bool:
        return not self._falls(Fault.DELETE_FAILURE) and super()._delete(handle)

    def _remove(self, held: Held) -> None:
        super()._remove(held)
        if self._random.random() < self.faults.undead:
            now = self._clock.monotonic()
            held.visible_at = now + self._random.uniform(0, UNDEAD_S)
            self._undead[held] = now + UNDEAD_S

    def _extend(self, handle: str, seconds: int) -> bool:
        if self._falls(Fault.EXTEND_FAILURE):
            self._unextended += 1
            return True
        return super()._extend(handle, seconds)
