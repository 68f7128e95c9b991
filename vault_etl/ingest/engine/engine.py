"""An ingest as a pure state machine: what may be received, written, deleted, extended, given back.

It does nothing by itself: whoever runs it asks what is to be done, does it, and tells how it went,
in any order and interleaving. Every `now` is in monotonic seconds.

Laws: a handle is given out for deletion only after its commit was told. And, once nothing is held,
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
"""Long polls in a row, by every receiver, that must bring nothing before the queue's counts are believed."""

DELETE_TRIES: Final = 3
"""Refusals of one deletion, after which the message is left to come again: as a duplicate."""


class IngestEngine:
    """See the module. Not thread-safe: its runner locks."""

    def __init__(self, limits: Limits) -> None:
        self.tally = Tally()
        self.stopping = False
        self.away = False
        """Whether the last batch was not written: then nothing more is received."""
        self._limits = limits
        self._held = HeldMessages(limits.visibility)
        self._buffer = IngestBuffer(limits)
        self._committed: deque[Held] = deque()
        self._returning: deque[Held] = deque()
        self._finishing = False
        self._abandoned = False
        self._granted = 0
        self._empty_polls = dict.fromkeys(range(limits.receivers), 0)
        self._heartbeat = Heartbeat(limits.heartbeats, limits.visibility)
        self._retry_at = 0.0

    # Receiving

    def grant(self) -> int:
        """How many messages a receiver may ask for now; 0 is none. Each grant is answered by `received`.

        While nothing can be written there is none; but if nothing is held any more (all of it went
        stale), one call may bring what is tried next, or nobody would ever know that it can be again.
        """
        waits = self.away and (self._held or self._granted)
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
        granted = max(0, min(room))
        self._granted += granted
        return granted

    def received(
        self, receiver: int, granted: int, messages: Sequence[Message], now: float
    ) -> None:
        """A receive has brought these, at `now`; once stopping, they go straight back."""
        self._granted -= granted
        self._empty_polls[receiver] = 0 if messages else self._empty_polls[receiver] + 1
        self._finishing = self._finishing and not messages
        self.tally.received += len(messages)
        for message in messages:
            held = self._held.add(message, now)
            if held is None:
                self.tally.given_back += 1
            elif self.stopping:
                self._return(held)
            else:
                self._buffer.add(held, now)

    def receive_failed(self, receiver: int, granted: int) -> None:
        """A receive has brought an error: nothing is known of the queue."""
        self._granted -= granted
        self._empty_polls[receiver] = 0

    # Writing

    def next_batch(self, now: float) -> list[Held]:
        """The next batch, if one is to be written now. Each is answered by `written`.

        It closes by its size, its bytes, its linger, or because nothing more can come.
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
        """What became of each message. What is to be tried again is, no sooner than in `retry_after`.

        All but `RETRY` says that a commit is certain.
        """
        self.away = Outcome.RETRY in outcomes
        self._retry_at = now + retry_after if self.away else 0.0
        counts: Counter[Outcome] = Counter()
        for held, outcome in reversed(list(zip(batch, outcomes, strict=True))):
            if held.stage is not Stage.WRITING:
                continue  # given back, when time was over
            counts[outcome] += 1
            if outcome is Outcome.RETRY:
                self._buffer.put_back(held)
            else:
                self._held.let_go(held, Stage.COMMITTED)
                self._committed.append(held)
        self.tally.add(counts)
        if self.stopping and self.away:
            self._return_buffer()

    def sort_out(self, now: float) -> None:
        """Take from the buffer what others may have by now, and what cannot be held for longer."""
        self._heartbeat.forget(now)
        kept: list[Held] = []
        for _ in range(len(self._buffer)):
            held = self._buffer.take()
            if held.is_stale(now):
                self._give_up(held)
            elif held.must_go(now, self._limits.visibility):
                self._return(held)
            else:
                kept.append(held)
        for held in reversed(kept):
            self._buffer.put_back(held)

    def _closes(self, now: float) -> bool:
        nothing_comes = not (self._granted or self._may_receive())
        return self.stopping or self.away or self._buffer.is_due(now) or nothing_comes

    def _may_receive(self) -> bool:
        granted = self.grant()
        self._granted -= granted
        return granted > 0

    # Deleting

    def next_deletes(self) -> list[str]:
        """Up to ten handles to delete, of committed messages. Answered by `deleted` or `delete_failed`."""
        handles: list[str] = []
        while self._committed and len(handles) < MAX_CALL:
            held = self._committed.popleft()
            held.stage = Stage.DELETING
            handles.append(held.handle)
        return handles

    def deleted(self, handles: Sequence[str], failed: Sequence[str]) -> None:
        """Which of them could not be deleted: tried again, then left to come as duplicates."""
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
        """The queue was away: they are tried again for as long as their handles are good."""
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
        """How many messages may be held: the setting, or what the heartbeats can extend in time."""
        return min(self._limits.max_held, max(MAX_CALL, self._heartbeat.bound))

    def extension_took(self, seconds: float, now: float) -> None:
        """What one extension of ten messages, ended `now`, took."""
        self._heartbeat.took(seconds, now)

    def next_extensions(self, now: float) -> dict[str, int]:
        """Up to ten handles to extend, and their seconds. Answered by `extended` or `extend_failed`."""
        return self._held.due(now, MAX_CALL)

    def extended(self, seconds_by_handle: dict[str, int], stale: Sequence[str], now: float) -> None:
        """They were extended, by a call begun at `now`; those gone stale are dropped before they are written."""
        self._held.extended(seconds_by_handle, now)
        for handle in stale:
            held = self._held.find(handle)
            if held is not None:
                held.visible_until = now

    def extend_failed(self, handles: Sequence[str]) -> None:
        """The queue was away."""
        self._held.not_extended(list(handles))

    def next_returns(self) -> list[str]:
        """Up to ten handles to give back. Answered by `returned`.

        Once stopping, not before the last long poll is over: it would bring them again.
        """
        if self.stopping and self._granted and not self._abandoned:
            return []
        return [
            self._returning.popleft().handle for _ in range(min(MAX_CALL, len(self._returning)))
        ]

    def returned(self, handles: Sequence[str]) -> None:
        """They were given back; or the queue shows them by itself, later."""
        for handle in handles:
            held = self._held.find(handle)
            if held is not None:
                self._give_up(held)

    def _return(self, held: Held) -> None:
        self._held.let_go(held, Stage.RETURNING)
        self._returning.append(held)

    def _return_buffer(self) -> None:
        while self._buffer:
            self._return(self._buffer.take())

    def _give_up(self, held: Held) -> None:
        self.tally.given_back += 1
        self._held.drop(held)

    # The end

    def stop(self, *, give_back: bool = False) -> None:
        """Receive no more; write what is buffered, or give it back if that cannot be done."""
        self.stopping = True
        if give_back or self.away:
            self._return_buffer()

    def abandon(self) -> bool:
        """Give back everything that is not known to be committed: time is over.

        Whether something was being written: its commit may come yet, and is not told any more.
        """
        self.stop(give_back=True)
        self._abandoned = True
        writing = [held for held in self._held if held.stage is Stage.WRITING]
        for held in writing:
            self._return(held)
        return bool(writing)

    def finish(self) -> None:
        """The queue is empty: receive no more, unless a receive under way brings something."""
        self._finishing = True

    @property
    def is_finished(self) -> bool:
        """Whether the run is over: all that is held is settled, and nothing more will be received."""
        ends = self.stopping or self._finishing or self._is_full
        return ends and not self._held and not self._granted

    @property
    def held(self) -> int:
        """How many messages are held."""
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """How many bytes the bodies of those have that are not committed."""
        return self._held.bytes

    @property
    def is_settled(self) -> bool:
        """Whether nothing is held; receives may be under way still."""
        return not self._held

    @property
    def looks_empty(self) -> bool:
        """Whether a drain may believe the queue's own counts: see `EMPTY_POLLS`."""
        polls = self._empty_polls.values()
        return not self._held and all(empty >= EMPTY_POLLS for empty in polls)

    @property
    def is_quiet(self) -> bool:
        """Whether the last poll of every receiver brought nothing."""
        return all(self._empty_polls.values())

    @property
    def _is_full(self) -> bool:
        wanted = self._limits.max_messages
        return wanted is not None and self.tally.received >= wanted

    def is_not_empty(self) -> None:
        """The queue's counts say that there is more: poll once more before they are asked again."""
        self._empty_polls = dict.fromkeys(self._empty_polls, EMPTY_POLLS - 1)
