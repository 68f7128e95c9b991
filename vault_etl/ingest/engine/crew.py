"""The number of calls of the queue at the same time: as many as its delay needs, and no more than help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES, Limits

BUSY_CORE: Final = 0.8
"""The part of a core from which on more threads would only take it from one another."""

FULL_POLL: Final = MAX_CALL / 2
"""Messages of an average poll from which on the queue holds more than is asked for."""

GAIN: Final = 1.25
"""The growth of messages a second that a larger crew must bring. Twice the threads bring twice as many, if the delay
of calls alone bounds them; they bring no more, if the queue or its senders do.
"""

SLOW: Final = 2.0
SLOW_S: Final = 0.5
"""An average call is slow if it takes so many times what it takes with the least crew, and so many seconds."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
"""Seconds without growth after a crew grew too large: twice as many each time, until a growth brings more. The first
ones are short: on a busy machine a growth that helps may not show at once.
"""

FAILED_PAUSE_S: Final = 5.0
"""Seconds without growth after a call failed."""


@dataclass(slots=True)
class Calls:
    """The calls that ended within some seconds, what they brought, and the sum of the seconds that each took."""

    count: int = 0
    messages: int = 0
    taken: float = 0.0
    within: float = 0.0


class Crew:
    """Threads that make one kind of call: `size` of them.

    A crew that is wanted doubles, and keeps its new size if that brings more messages a second. If it does not, if
    calls become slow, or if one fails, the crew shrinks and pauses. So a queue that can do no more is not asked by
    ever more threads, which would make each answer later, and at last so late that no caller waits for it.
    """

    def __init__(self, least: int, most: int) -> None:
        self.size = least
        self._least = least
        self._most = max(least, most)
        self._calls = Calls()
        """The calls since the last judgement."""
        self._latest = Calls()
        """The calls since the last review."""
        self._has_failed = False
        self._usual = 0.0
        """The seconds of an average call of the least crew."""
        self._smaller: tuple[int, float] | None = None
        """The size before the last growth, and its messages a second, until the growth is judged."""
        self._pause = 0.0
        self._next_pause = FIRST_PAUSE_S

    @property
    def is_held_back(self) -> bool:
        """True while the crew pauses after it grew too large, or after a call failed."""
        return self._pause > 0

    @property
    def is_full_of_work(self) -> bool:
        """True unless the calls since the last review brought few messages."""
        return self._latest.messages >= FULL_POLL * self._latest.count

    def ended(self, messages: int, seconds: float) -> None:
        """Record a call that ended after so many seconds."""
        for calls in (self._calls, self._latest):
            calls.count += 1
            calls.messages += messages
            calls.taken += seconds

    def failed(self) -> None:
        """Record a call that failed, perhaps because its answer came too late."""
        self._has_failed = True

    def rest(self, size: int) -> None:
        """Shrink to `size`, or to the least, because there is no more work."""
        self.size = max(size, self._least)
        self._begin()

    def review(self, seconds: float, *, is_wanted: bool) -> None:
        """Set the size by the calls of the last `seconds`. While the crew is not wanted, nothing is measured."""
        self._latest = Calls()
        self._pause = max(0.0, self._pause - seconds)
        if self._has_failed:
            self._has_failed = False
            self._pause = max(self._pause, FAILED_PAUSE_S)
            self.rest(self._least)
        elif not is_wanted:
            self._begin()
        else:
            self._calls.within += seconds
            self._judge()

    def _judge(self) -> None:
        """Change the size, once each thread made a call (that is enough to see slow calls), or two."""
        calls, smaller = self._calls, self._smaller
        if calls.count < self.size:
            return
        rate, taken = calls.messages / calls.within, calls.taken / calls.count
        if self.size > self._least and taken > max(SLOW_S, SLOW * self._usual):
            self._shrink(self._least)
            return
        if calls.count < 2 * self.size:
            return
        self._begin()
        if self.size == self._least:
            self._usual = taken
        if smaller is not None:
            size, least_rate = smaller[0], GAIN * smaller[1]
            if rate < least_rate:
                self._shrink(size)
                return
            self._next_pause = FIRST_PAUSE_S
        if not self.is_held_back and self.size < self._most:
            self._smaller = self.size, rate
            self.size = min(2 * self.size, self._most)

    def _shrink(self, size: int) -> None:
        self.rest(size)
        self._pause, self._next_pause = (
            self._next_pause,
            min(2 * self._next_pause, LONGEST_PAUSE_S),
        )

    def _begin(self) -> None:
        """Begin to measure."""
        self._calls = Calls()
        self._smaller = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time since the last review, and what waits now."""

    seconds: float
    core: float
    """The part of one core that the process used."""
    buffered: int
    """Messages that wait for a batch."""
    to_delete: int
    """Committed messages that may be deleted: in an outage of deletions, those of one call at most."""


class Crews:
    """The threads that receive, and those that delete.

    A process uses one core at most. If it has core to spare while messages wait for a call, then the delay of calls
    bounds it, and a crew is wanted. A crew whose work is done shrinks to its least size.
    """

    def __init__(self, limits: Limits) -> None:
        in_memory = limits.max_held_bytes // (MAX_CALL * MAX_MESSAGE_BYTES)
        self.receivers = Crew(limits.receivers, min(limits.most_calls, in_memory))
        self.deleters = Crew(limits.deleters, limits.most_calls)
        self._batch_size = limits.batch_size

    def review(self, span: Span) -> None:
        """Set both numbers by what happened."""
        receivers, deleters = self.receivers, self.deleters
        is_free = span.core < BUSY_CORE
        if not receivers.is_full_of_work:
            receivers.rest(0)
        receivers.review(span.seconds, is_wanted=is_free and span.buffered < self._batch_size)
        if not span.to_delete:
            deleters.rest(deleters.size // 2)
        deleters.review(
            span.seconds, is_wanted=is_free and span.to_delete > MAX_CALL * deleters.size
        )

    @property
    def held_back(self) -> int:
        """The number of crews that pause."""
        return self.receivers.is_held_back + self.deleters.is_held_back
