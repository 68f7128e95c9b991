"""An ingest as a pure state machine: decides what to receive, write, delete, extend and give back.

The engine does nothing by itself: its runner asks for the next work, does it, and reports the
result, in any order and interleaving. Every `now` is in monotonic seconds.

Laws: a handle is offered for deletion only after its commit was reported. Once nothing is held,
received = stored + duplicates + quarantined + already_quarantined + given_back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from vault_etl.ingest.engine.crew import Crews
from vault_etl.ingest.engine.deletions import Deletions
from vault_etl.ingest.engine.held import Heartbeat, Held, HeldMessages, IngestBuffer, Stage
from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES, Limits, Tally
from vault_etl.ingest.engine.polls import Polls
from vault_etl.records.messages import Message, Outcome


class IngestEngine:
    """The state of one ingest, and its decisions. Not thread-safe: the runner locks."""

    def __init__(self, limits: Limits) -> None:
        self.tally = Tally()
        self.stopping = False
        self.writes_fail = False
        """True if the last batch was not written. Then no message is received while any is held."""
        self._limits = limits
        self._held = HeldMessages(limits.visibility)
        self._buffer = IngestBuffer(limits)
        self._deletions = Deletions()
        self._to_give_back: deque[Held] = deque()
        self._finishing = False
        self._abandoned = False
        self._granted = 0
        self.polls = Polls(limits.receivers)
        self.crews = Crews(limits)
        self._heartbeat = Heartbeat(limits.heartbeats, limits.visibility)
        self._retry_at = 0.0

    # Receiving

    def grant(self) -> int:
        """Return how many messages a receiver may ask for now, or 0. The runner reports with `received`.

        While batches fail, the grant is 0 as long as anything is held or granted. With nothing held
        (all went stale), one call is granted: only another try can show that writing works again.
        """
        granted = min(MAX_CALL, self.room)
        self._granted += granted
        return granted

    @property
    def room(self) -> int:
        """The number of messages that all receivers together may ask for now."""
        waits = self.writes_fail and (self._held or self._granted)
        if self.stopping or self._finishing or waits:
            return 0
        limits, taken = self._limits, self._granted
        room = [
            self.max_held - len(self._held) - taken,
            (limits.max_held_bytes - self._held.bytes) // MAX_MESSAGE_BYTES - taken,
        ]
        if limits.max_messages is not None:
            room.append(limits.max_messages - self.tally.received - taken)
        return max(0, min(room))

    @property
    def is_receiving(self) -> bool:
        """True while a receive is under way."""
        return bool(self._granted)

    def received(
        self, receiver: int, granted: int, messages: Sequence[Message], now: float
    ) -> None:
        """Record the messages of one receive, at `now`. Once stopping, they are given back at once."""
        self._granted -= granted
        self.polls.ended(receiver, found=bool(messages))
        self._finishing = self._finishing and not messages
        self.tally.received += len(messages)
        for message in messages:
            held = self._held.add(message, now)
            if held is None:
                self.tally.given_back += 1
            elif self.stopping:
                self._give_back(held)
            else:
                self._buffer.add(held, now)

    def receive_failed(self, receiver: int, granted: int) -> None:
        """Record that a receive failed: the queue may or may not be empty."""
        self._granted -= granted
        self.polls.failed(receiver)
        self.crews.receivers.failed()

    # Writing

    def next_batch(self, now: float) -> list[Held]:
        """Return the next batch, or an empty list if none is due. The runner reports with `written`.

        A batch closes by its size, its bytes, its linger, or because nothing more can come.
        """
        if not self.has_batch(now):
            return []
        self.sort_out(now, self._limits.batch_size)
        batch = self._buffer.take_batch(now)
        for held in batch:
            held.stage = Stage.WRITING
        return batch

    def written(
        self, batch: Sequence[Held], outcomes: Sequence[Outcome], now: float, retry_after: float = 0
    ) -> None:
        """Record the outcomes, of which all but `RETRY` are committed: those wait for `retry_after` seconds."""
        self.writes_fail = Outcome.RETRY in outcomes
        self._retry_at = now + retry_after if self.writes_fail else 0.0
        counts: Counter[Outcome] = Counter()
        for held, outcome in reversed(list(zip(batch, outcomes, strict=True))):
            if held.stage is not Stage.WRITING:
                continue  # given back by `abandon`
            counts[outcome] += 1
            if outcome is Outcome.RETRY:
                self._buffer.put_back(held)
            else:
                self._held.let_go(held, Stage.COMMITTED)
                self._deletions.add(held)
        self.tally.add(counts)
        if self.stopping and self.writes_fail:
            self._give_back_buffer()

    def sort_out(self, now: float, first: int | None = None) -> None:
        """Remove what other receivers may have, and what cannot be held for longer.

        Of the whole buffer, or of so many `first` messages.
        """
        self._heartbeat.forget(now)
        while leaving := self._buffer.take_leaving(now, first):
            for held in leaving:
                end = self._drop_as_given_back if held.is_stale(now) else self._give_back
                end(held)

    def has_batch(self, now: float) -> bool:
        """Tell whether a batch is due."""
        return bool(self._buffer) and now >= self._retry_at and self._closes(now)

    def _closes(self, now: float) -> bool:
        closes = self.stopping or self.writes_fail or self._buffer.is_due(now)
        return closes or not (self._granted or self.room)

    # Deleting

    def to_delete(self, now: float) -> int:
        """Return the number of committed messages that may be deleted now."""
        return self._deletions.due(now)

    def next_deletes(self, now: float) -> list[str]:
        """Return up to ten handles that are due. The runner reports with `deleted` or `delete_failed`."""
        return self._deletions.take(now)

    def deleted(self, handles: Sequence[str], failed: Sequence[str], now: float) -> None:
        """Record deletions. Those in `failed` are tried again after a pause, then left to come as duplicates."""
        self._deletions.answered()
        for held in self._held.find_all(handles):
            if held.handle not in failed:
                self.tally.deleted += 1
            elif self._deletions.try_again(held, now):
                continue
            self._held.drop(held)

    def delete_failed(self, handles: Sequence[str], now: float, retry_at: float = 0) -> None:
        """Record that the queue did not answer: they are tried from `retry_at` on, until handles are stale."""
        self._deletions.failed(retry_at)
        self.crews.deleters.failed()
        for held in self._held.find_all(handles):
            if held.is_stale(now):
                self._held.drop(held)
            else:
                self._deletions.add(held)

    # Holding and giving back

    @property
    def max_held(self) -> int:
        """The number of messages that may be held: the setting, or what heartbeats can extend in time."""
        return min(self._limits.max_held, max(MAX_CALL, self._heartbeat.bound))

    def extension_took(self, seconds: float, now: float) -> None:
        """Record the duration of one extension of ten messages, which ended at `now`."""
        self._heartbeat.took(seconds, now)

    def next_extensions(self, now: float) -> dict[str, int]:
        """Return up to ten handles and their seconds. The runner reports with `extended` or `extend_failed`."""
        return self._held.due(now, MAX_CALL)

    def extended(self, seconds_by_handle: dict[str, int], stale: Sequence[str], now: float) -> None:
        """Record extensions by a call begun at `now`. Stale messages are dropped before they are written."""
        self._held.extended(seconds_by_handle, now)
        for held in self._held.find_all(stale):
            held.visible_until = now

    def extend_failed(self, handles: Sequence[str]) -> None:
        """Record that the queue did not answer: the messages are still due."""
        self._held.not_extended(list(handles))

    def next_to_give_back(self) -> list[str]:
        """Return up to ten handles to give back. The runner reports with `given_back`.

        Once stopping, wait for the last long poll to end: it would receive the same messages again.
        """
        handles: list[str] = []
        while self.may_give_back and len(handles) < MAX_CALL:
            handles.append(self._to_give_back.popleft().handle)
        return handles

    @property
    def may_give_back(self) -> bool:
        """True if a message is to be given back now."""
        waits = self.stopping and self._granted and not self._abandoned
        return bool(self._to_give_back) and not waits

    def given_back(self, handles: Sequence[str]) -> None:
        """Record that messages were given back. If the call failed, the queue shows them later by itself."""
        for held in self._held.find_all(handles):
            self._drop_as_given_back(held)

    def _give_back(self, held: Held) -> None:
        self._held.let_go(held, Stage.GIVING_BACK)
        self._to_give_back.append(held)

    def _give_back_buffer(self) -> None:
        while self._buffer:
            self._give_back(self._buffer.take())

    def _drop_as_given_back(self, held: Held) -> None:
        self.tally.given_back += 1
        self._held.drop(held)

    # The end

    def stop(self, *, give_back: bool = False) -> None:
        """Receive no more. Write the buffered messages, or give them back if they cannot be written."""
        if not self.stopping:
            self._deletions.hurry()
        self.stopping = True
        if give_back or self.writes_fail:
            self._give_back_buffer()

    def abandon(self) -> bool:
        """Give back everything that is not known to be committed, because the time is over.

        Return whether a batch was being written: its commit may still happen, and is not recorded.
        """
        self.stop(give_back=True)
        self._abandoned = True
        writing = [held for held in self._held if held.stage is Stage.WRITING]
        for held in writing:
            self._give_back(held)
        return bool(writing)

    def finish(self) -> None:
        """Record that the queue is empty: receive no more, unless a receive under way brings messages."""
        self._finishing = True

    @property
    def is_finished(self) -> bool:
        """True if the run is over: nothing is held, and nothing more will be received."""
        wanted = self._limits.max_messages
        is_full = wanted is not None and self.tally.received >= wanted
        return (self.stopping or self._finishing or is_full) and not (self._held or self._granted)

    @property
    def held(self) -> int:
        """The number of held messages. Receives may still be under way when it is 0."""
        return len(self._held)

    @property
    def buffered(self) -> int:
        """The number of messages that wait for a batch."""
        return len(self._buffer)

    @property
    def held_bytes(self) -> int:
        """The bytes of all held bodies that are not committed."""
        return self._held.bytes

    @property
    def looks_empty(self) -> bool:
        """True if a drain may trust the queue's own counts: nothing is held, and every receiver polled enough."""
        return not self._held and self.polls.are_enough
