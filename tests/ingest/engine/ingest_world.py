"""An engine, a queue and a database; each call between them has two halves: the effect, and its report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.queue import FakeQueue
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.held import Held, Stage
from vault_etl.ingest.engine.limits import Limits
from vault_etl.records.messages import Message, Outcome

VISIBILITY_S = 30
LIMITS = Limits(
    batch_size=7, batch_bytes=60, max_held=15, visibility=VISIBILITY_S, receivers=3, linger=2
)
Extension = tuple[dict[str, int], float]
"""What was asked for, and when."""
ROUNDS = 200
"""Far more than anything takes to end: an engine that needs so many never would."""


@dataclass(slots=True, eq=False)
class Receive:
    """A receive that the queue has answered, and that the engine does not know yet."""

    receiver: int
    granted: int
    messages: Sequence[Message]


@dataclass(slots=True, eq=False)
class Write:
    """A batch under way, with the ids of its messages."""

    batch: list[Held]
    ids: list[str]


class World:
    """The calls under way belong to the process, and are lost with it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue = FakeQueue(self.clock, VISIBILITY_S)
        self.queue.before_delete = self._must_be_stored
        self.engine = IngestEngine(LIMITS)
        self.sent: set[str] = set()
        self.stored: set[str] = set()
        self.told_stored = 0
        """By the processes that are no more."""
        self.ids: dict[str, str] = {}
        """The id of the message of each handle."""
        self.receives: list[Receive] = []
        self.writes: list[Write] = []
        self.deletes: list[list[str]] = []
        self.extensions: list[Extension] = []

    @property
    def now(self) -> float:
        """Return the time of the engine's clock."""
        return self.clock.monotonic()

    def crash(self) -> None:
        """Replace the process by a new one."""
        self.told_stored += self.engine.tally.stored
        self.engine = IngestEngine(LIMITS)
        for under_way in (self.receives, self.writes, self.deletes, self.extensions):
            under_way.clear()

    def begin_receive(self, receiver: int) -> Receive | None:
        """Receive: the queue hides the messages, even if its answer is lost."""
        if any(call.receiver == receiver for call in self.receives):
            return None
        granted = self.engine.grant()
        if not granted:
            return None
        messages = self.queue.receive(0, granted)
        self.ids |= {message.receipt_handle: message.message_id for message in messages}
        self.receives.append(Receive(receiver, granted, messages))
        return self.receives[-1]

    def end_receive(self, call: Receive, *, lost: bool = False) -> None:
        """Report the answer, or an error."""
        self.receives.remove(call)
        if lost:
            self.engine.receive_failed(call.receiver, call.granted)
        else:
            self.engine.received(call.receiver, call.granted, call.messages, self.now)

    def begin_write(self) -> Write | None:
        """Take a batch to write."""
        batch = self.engine.next_batch(self.now)
        if not batch:
            return None
        assert all(held.stage is Stage.WRITING for held in batch)
        assert not any(held.is_stale(self.now) for held in batch)
        assert sum(held.bytes for held in batch) <= LIMITS.batch_bytes
        self.writes.append(Write(batch, [self.ids[held.handle] for held in batch]))
        return self.writes[-1]

    def end_write(
        self, write: Write, committed: float = 1, told: float = 1, retry_after: float = 0
    ) -> None:
        """Commit a part of a batch, and report a part of that; the rest is tried again."""
        self.writes.remove(write)
        committed = math.ceil(committed * len(write.ids))
        told = math.ceil(told * committed)
        outcomes = []
        for message_id in write.ids[:told]:
            outcomes.append(Outcome.DUPLICATE if message_id in self.stored else Outcome.STORED)
            self.stored.add(message_id)
        self.stored |= set(write.ids[:committed])
        outcomes += [Outcome.RETRY] * (len(write.batch) - told)
        self.engine.written(write.batch, outcomes, self.now, retry_after)

    def begin_delete(self) -> list[str]:
        """Take handles to delete: each is committed."""
        handles = self.engine.next_deletes(self.now)
        assert {self.ids[handle] for handle in handles} <= self.stored
        if handles:
            self.deletes.append(handles)
        return handles

    def end_delete(self, handles: list[str], part: float = 1, *, unavailable: bool = False) -> None:
        """Delete a part of the handles, and report it, unless the queue is unavailable."""
        self.deletes.remove(handles)
        done = handles[: math.ceil(len(handles) * part)]
        if done:
            self.queue.delete(done)
        if unavailable:
            self.engine.delete_failed(handles, self.now)
        else:
            self.engine.deleted(handles, handles[len(done) :], self.now)

    def begin_extend(self) -> Extension | None:
        """Take the handles that are due."""
        seconds = self.engine.next_extensions(self.now)
        if not seconds:
            return None
        self.extensions.append((seconds, self.now))
        return self.extensions[-1]

    def end_extend(self, call: Extension, *, unavailable: bool = False) -> None:
        """Extend the handles that are not stale, or none of them."""
        self.extensions.remove(call)
        seconds, began = call
        if unavailable:
            self.engine.extend_failed(list(seconds))
        else:
            self.engine.extended(seconds, self.queue.extend(seconds), began)

    def give_back(self) -> None:
        """Make messages visible again in five seconds, if their handles are still valid."""
        if handles := self.engine.next_to_give_back():
            self.queue.extend(dict.fromkeys(handles, 5))
            self.engine.given_back(handles)

    def settle(self) -> None:
        """Complete every call under way without an error."""
        for receive in list(self.receives):
            self.end_receive(receive)
        for write in list(self.writes):
            self.end_write(write)
        for handles in list(self.deletes):
            self.end_delete(handles)
        for extension in list(self.extensions):
            self.end_extend(extension)

    def fail(self) -> None:
        """Fail every call under way, and every call begun now."""
        self.begin_write()
        self.begin_extend()
        for receive in list(self.receives):
            self.end_receive(receive, lost=True)
        for write in list(self.writes):
            self.end_write(write, 0)
        for handles in list(self.deletes):
            self.end_delete(handles, 0, unavailable=True)
        for extension in list(self.extensions):
            self.end_extend(extension, unavailable=True)

    def go_on(self) -> None:
        """Run one round without faults."""
        for receiver in range(LIMITS.receivers):
            self.begin_receive(receiver)
        self.begin_write()
        self.begin_delete()
        self.begin_extend()
        self.settle()
        self.give_back()
        self.engine.sort_out(self.now)
        self.clock.advance(1)

    def _must_be_stored(self, message_id: str, _sent_ms: int) -> None:
        assert message_id in self.stored, "deleted before its commit"
