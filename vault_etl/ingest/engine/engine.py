"""An ingest as a pure state machine: decides what to receive, write, delete, extend and give back.

The engine does nothing by itself: its runner asks for the next work, does it, and reports the
result, in any order and interleaving. Every `now` is in monotonic seconds.

Laws: a handle is offered for deletion only after its commit was reported. Once nothing is held,
received = stored + duplicates + quarantined + already_quarantined + given_back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from vault_etl.ingest.engine.held import Heartbeat, Held, HeldMessages, IngestBuffer, Stage
from vault_etl.ingest.engine.limits import MAX_CALL, MAX_MESSAGE_BYTES, Limits, Tally
from vault_etl.records.messages import Message, Outcome

EMPTY_POLLS: Final = 2
"""Empty long polls in a row, of every receiver, after which the queue's own counts are trusted."""

DELETE_TRIES: Final = 3
"""Refusals of one deletion, after which the message is left to come again, as a duplicate."""


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
        self._committed: deque[Held] = deque()
        self._to_give_back: deque[Held] = deque()
        self._finishing = False
        self._abandoned = False
        self._granted = 0
        self._empty_polls = dict.fromkeys(range(limits.receivers), 0)
        self._heartbeat = Heartbeat(limits.heartbeats, limits.visibility)
        self._retry_at = 0.0

    # Receiving

    def grant(self) -> int:
        """Return how many messages a receiver may ask for now, or 0. The runner reports with `received`.

        While batches fail, the grant is 0 as long as anything is held or granted. With nothing held
        (all went stale), one call is granted: only another try can show that writing works again.
        """
        granted = self._room()
        self._granted += granted
        return granted

    def _room(self) -> int:
        waits = self.writes_fail and (self._held or self._granted)
        if self.stopping or self._finishing or waits:
            return 0
        limits, taken = self._limits, self._granted
        room = [
            MAX_CALL,
            self.max_held - len(self._held) - taken,
            (limits.max_held_bytes - self._held.bytes) // MAX_MESSAGE_BYTES - taken,
        ]
        if limits.max_messages is not None:
            room.append(limits.max_messages - self.tally.received - taken)
        return max(0, min(room))

    def received(
        self, receiver: int, granted: int, messages: Sequence[Message], now: float
    ) -> None:
        """Record the messages of one receive, at `now`. Once stopping, they are given back at once."""
        self._granted -= granted
        self._empty_polls[receiver] = 0 if messages else self._empty_polls[receiver] + 1
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
        self._empty_polls[receiver] = 0

    # Writing

    def next_batch(self, now: float) -> list[Held]:
        """Return the next batch, or an empty list if none is due. The runner reports with `written`.

        A batch closes by its size, its bytes, its linger, or because nothing more can come.
        """
        if not self._buffer or now < self._retry_at or not self._closes(now):
            return []
        self.sort_out(now)
        batch = self._buffer.take_batch(now)
        for held in batch:
            held.stage = Stage.WRITING
        return batch

    def written(
        self, batch: Sequence[Held], outcomes: Sequence[Outcome], now: float, retry_after: float = 0
    ) -> None:
        """Record the outcome of each message; messages to retry wait for `retry_after` seconds.

        Every outcome except `RETRY` means a certain commit.
        """
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
                self._committed.append(held)
        self.tally.add(counts)
        if self.stopping and self.writes_fail:
            self._give_back_buffer()

    def sort_out(self, now: float) -> None:
        """Remove from the buffer what other receivers may have, and what cannot be held for longer."""
        self._heartbeat.forget(now)
        kept: list[Held] = []
        for _ in range(len(self._buffer)):
            held = self._buffer.take()
            if held.is_stale(now):
                self._drop_as_given_back(held)
            elif held.must_go(now, self._limits.visibility):
                self._give_back(held)
            else:
                kept.append(held)
        for held in reversed(kept):
            self._buffer.put_back(held)

    def _closes(self, now: float) -> bool:
        nothing_comes = not (self._granted or self._room())
        return self.stopping or self.writes_fail or self._buffer.is_due(now) or nothing_comes

    # Deleting

    def next_deletes(self) -> list[str]:
        """Return up to ten handles of committed messages. The runner reports with `deleted` or `delete_failed`."""
        handles: list[str] = []
        while self._committed and len(handles) < MAX_CALL:
            held = self._committed.popleft()
            held.stage = Stage.DELETING
            handles.append(held.handle)
        return handles

    def deleted(self, handles: Sequence[str], failed: Sequence[str]) -> None:
        """Record deletions. Those in `failed` are tried again, then left to come as duplicates."""
        for handle in handles:
            held = self._held.find(handle)
            if held is None:
                continue
            held.delete_tries += handle in failed
            if handle in failed and held.delete_tries < DELETE_TRIES:
                held.stage = Stage.COMMITTED
                self._committed.append(held)
                continue
            self.tally.deleted += handle not in failed
            self._held.drop(held)

    def delete_failed(self, handles: Sequence[str], now: float) -> None:
        """Record that the queue did not answer: deletions are tried again until their handles are stale."""
        for handle in handles:
            held = self._held.find(handle)
            if held is None:
                continue
            if held.is_stale(now):
                self._held.drop(held)
            else:
                held.stage = Stage.COMMITTED
                self._committed.append(held)

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
        for handle in stale:
            if (held := self._held.find(handle)) is not None:
                held.visible_until = now

    def extend_failed(self, handles: Sequence[str]) -> None:
        """Record that the queue did not answer: the messages are still due."""
        self._held.not_extended(list(handles))

    def next_to_give_back(self) -> list[str]:
        """Return up to ten handles to give back. The runner reports with `given_back`.

        Once stopping, wait for the last long poll to end: it would receive the same messages again.
        """
        if self.stopping and self._granted and not self._abandoned:
            return []
        count = min(MAX_CALL, len(self._to_give_back))
        return [self._to_give_back.popleft().handle for _ in range(count)]

    def given_back(self, handles: Sequence[str]) -> None:
        """Record that messages were given back. If the call failed, the queue shows them later by itself."""
        for handle in handles:
            if (held := self._held.find(handle)) is not None:
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
    def held_bytes(self) -> int:
        """The bytes of all held bodies that are not committed."""
        return self._held.bytes

    @property
    def looks_empty(self) -> bool:
        """True if a drain may trust the queue's own counts: see `EMPTY_POLLS`."""
        return not self._held and all(map(self.has_polled_enough, self._empty_polls))

    def has_polled_enough(self, receiver: int) -> bool:
        """Tell whether the last polls of this receiver, `EMPTY_POLLS` or more, brought nothing."""
        return self._empty_polls[receiver] >= EMPTY_POLLS

    @property
    def is_quiet(self) -> bool:
        """True if the last poll of every receiver brought nothing."""
        return all(self._empty_polls.values())

    def queue_reported_more(self) -> None:
        """Record that the queue counts more messages: poll once more before its counts are read again."""
        self._empty_polls = dict.fromkeys(self._empty_polls, EMPTY_POLLS - 1)
