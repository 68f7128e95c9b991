"""An engine, a queue and a database, and every call between them in two halves: what it does, what is told."""

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
    """A call that the queue has answered, and the engine does not know of."""

    receiver: int
    granted: int
    messages: Sequence[Message]


@dataclass(slots=True, eq=False)
class Write:
    """A batch on its way, with the ids of its messages."""

    batch: list[Held]
    ids: list[str]


class World:
    """What is under way belongs to the process, and is gone with it."""

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
        """By the engine's clock."""
        return self.clock.monotonic()

    def crash(self) -> None:
        """Another process takes its place."""
        self.told_stored += self.engine.tally.stored
        self.engine = IngestEngine(LIMITS)
        for under_way in (self.receives, self.writes, self.deletes, self.extensions):
            under_way.clear()

    def begin_receive(self, receiver: int) -> Receive | None:
        """The queue hides what it hands out, whether or not its answer comes."""
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
        """The answer comes, or an error."""
        self.receives.remove(call)
        if lost:
            self.engine.receive_failed(call.receiver, call.granted)
        else:
            self.engine.received(call.receiver, call.granted, call.messages, self.now)

    def begin_write(self) -> Write | None:
        """A batch is parsed and sealed."""
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
        """A part is committed, of which a part is told of; the rest is to be tried again."""
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
        """The engine wants them gone: each is committed."""
        handles = self.engine.next_deletes()
        assert {self.ids[handle] for handle in handles} <= self.stored
        if handles:
            self.deletes.append(handles)
        return handles

    def end_delete(self, handles: list[str], part: float = 1, *, away: bool = False) -> None:
        """A part of them is deleted; the engine is told which, unless the queue is away."""
        self.deletes.remove(handles)
        done = handles[: math.ceil(len(handles) * part)]
        if done:
            self.queue.delete(done)
        if away:
            self.engine.delete_failed(handles, self.now)
        else:
            self.engine.deleted(handles, handles[len(done) :])

    def begin_extend(self) -> Extension | None:
        """What is due."""
        seconds = self.engine.next_extensions(self.now)
        if not seconds:
            return None
        self.extensions.append((seconds, self.now))
        return self.extensions[-1]

    def end_extend(self, call: Extension, *, away: bool = False) -> None:
        """They are extended, but for what has gone stale; or none of them is."""
        self.extensions.remove(call)
        seconds, began = call
        if away:
            self.engine.extend_failed(list(seconds))
        else:
            self.engine.extended(seconds, self.queue.extend(seconds), began)

    def give_back(self) -> None:
        """They are seen again in five seconds, if their handles are good still."""
        if handles := self.engine.next_returns():
            self.queue.extend(dict.fromkeys(handles, 5))
            self.engine.returned(handles)

    def settle(self) -> None:
        """All that is under way comes to a good end."""
        for receive in list(self.receives):
            self.end_receive(receive)
        for write in list(self.writes):
            self.end_write(write)
        for handles in list(self.deletes):
            self.end_delete(handles)
        for extension in list(self.extensions):
            self.end_extend(extension)

    def fail(self) -> None:
        """Nothing that is under way, or is begun now, comes to anything."""
        self.begin_write()
        self.begin_extend()
        for receive in list(self.receives):
            self.end_receive(receive, lost=True)
        for write in list(self.writes):
            self.end_write(write, 0)
        for handles in list(self.deletes):
            self.end_delete(handles, 0, away=True)
        for extension in list(self.extensions):
            self.end_extend(extension, away=True)

    def go_on(self) -> None:
        """One round without faults."""
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
