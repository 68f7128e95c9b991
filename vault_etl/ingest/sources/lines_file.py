"""The lines of a file, or of standard input, as a queue: unacknowledged lines are returned again."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from typing_extensions import override

from vault_etl.base.pii import Pii
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import Queue, QueueDepth, QueueGauge
from vault_etl.ingest.sources.content import LineContent
from vault_etl.ingest.sources.splitters import Splitter
from vault_etl.platform.clock import Clock
from vault_etl.records.messages import Line, Message

VISIBILITY_S: Final = 43_200
"""SQS's maximum: no other process reads these lines, so none has to reappear by itself."""


class LineCheck(Protocol):
    """Checks each piece of a content before its lines are returned by `LinesFile.receive`."""

    digest: LineDigest
    """The digest of all lines that were read."""

    def passed(self) -> None:
        """Check the lines that the digest was given. Raises DataError if they must not be loaded."""

    def loaded(self) -> None:
        """Record that all lines are stored. Raises DataError if one of them must not be."""


class LinesFile(Queue, QueueGauge):
    """A queue of lines, read on demand. Thread-safe.

    Holds at most 64 KiB of lines, or one line, besides the received ones. The receipt handle of a
    line is its number. `splitter` adds to the digest of `check`, which checks each piece before a
    line of it is received. `lines` is the number of lines, if known.
    """

    def __init__(
        self,
        content: LineContent,
        clock: Clock,
        source_id: uuid.UUID,
        sent_ms: int,
        check: LineCheck,
        splitter: Splitter,
        *,
        lines: int | None = None,
    ) -> None:
        self._content = content
        self._clock = clock
        self._source_id = source_id
        self._sent_ms = sent_ms
        self._check = check
        self._left = lines
        self._splitter = splitter
        self._read_ahead: _Piece | None = None
        self._changed = threading.Condition()
        self._lines: deque[tuple[int, bytes]] = deque()
        self._held: dict[str, _ReceivedLine] = {}
        self._next_due = float("inf")
        self._is_reading = False
        self._is_at_end = False
        self._is_loaded = False

    @override
    def receive(self, wait_seconds: int, limit: int = MAX_CALL) -> Sequence[Message]:
        """Return up to `limit` lines. Raises what `LineCheck.passed` and its database raise."""
        ends = self._clock.monotonic() + wait_seconds
        while True:
            with self._changed:
                messages = self._due(limit) or self._fresh(limit)
                left = ends - self._clock.monotonic()
                done = self._is_at_end and not self._held
                if messages or done:
                    return messages
                if self._is_reading or self._is_at_end:
                    if left <= 0:
                        return []
                    self._changed.wait(min(left, self._next_due - self._clock.monotonic()))
                    continue
                self._is_reading = True
            self._read(max(0.0, left))
            if left <= 0 and not self._lines:
                return []

    @override
    def delete(self, receipt_handles: Sequence[str]) -> Sequence[str]:
        """Acknowledge lines; the file stays unchanged. Return the handles that are unknown."""
        with self._changed:
            unknown = [h for h in receipt_handles if self._held.pop(h, None) is None]
            self._changed.notify_all()
        return unknown

    @override
    def extend(self, seconds_by_handle: Mapping[str, int]) -> Sequence[str]:
        """Set when lines are visible again: sooner than before means given back. Return the stale handles."""
        stale = []
        with self._changed:
            now = self._clock.monotonic()
            for handle, seconds in seconds_by_handle.items():
                held = self._held.get(handle)
                if held is None:
                    stale.append(handle)
                    continue
                held.given_back = now + seconds < held.due
                held.due = now + seconds
                self._next_due = min(self._next_due, held.due)
            self._changed.notify_all()
        return stale

    @override
    def depth(self) -> QueueDepth:
        """Return the counts. Lines that were given back and are not due are delayed: still to be loaded.

        When no line remains, raises what `LineCheck.loaded` raises: no run ends before that check.
        """
        with self._changed:
            if self._is_at_end and not self._lines and not self._held and not self._is_loaded:
                self._check.loaded()
                self._is_loaded = True
            now = self._clock.monotonic()
            due = sum(held.due <= now for held in self._held.values())
            delayed = sum(held.given_back and held.due > now for held in self._held.values())
            unread = len(self._lines) + (not self._is_at_end) if self._left is None else self._left
            return QueueDepth(due + unread, len(self._held) - due - delayed, delayed)

    @override
    def visibility_timeout(self) -> int:
        return VISIBILITY_S

    def close(self) -> None:
        """Close the file."""
        self._content.close()

    def _due(self, limit: int) -> list[Message]:
        """Return lines that were received before, and not acknowledged in time."""
        now = self._clock.monotonic()
        if now < self._next_due:
            return []
        due = [held for held in self._held.values() if held.due <= now][:limit]
        for held in due:
            again = held.message.receive_count + 1
            held.message = held.message._replace(receive_count=again)
            held.due, held.given_back = now + VISIBILITY_S, False
        self._next_due = min((held.due for held in self._held.values()), default=float("inf"))
        return [held.message for held in due]

    def _fresh(self, limit: int) -> list[Message]:
        due = self._clock.monotonic() + VISIBILITY_S
        messages: list[Message] = []
        while self._lines and len(messages) < limit:
            number, line = self._lines.popleft()
            handle = str(number)
            place = Line(self._source_id, number)
            message = Message(handle, handle, Pii(line), self._sent_ms, 1, place)
            self._held[handle] = _ReceivedLine(message, due)
            messages.append(message)
        if messages:
            self._next_due = min(self._next_due, due)
        if self._left is not None:
            self._left -= len(messages)
        return messages

    def _read(self, seconds: float) -> None:
        """Read one piece, in one thread at a time, while other threads may acknowledge lines.

        A piece that could not be checked because the database did not answer is checked again.
        """
        piece = _Piece()
        try:
            if self._read_ahead is None:
                self._read_ahead = self._next_piece(seconds)
            if self._read_ahead is not None:
                self._check.passed()
                piece, self._read_ahead = self._read_ahead, None
        finally:
            with self._changed:
                self._is_reading = False
                self._lines += piece.lines
                self._is_at_end = piece.is_last
                self._changed.notify_all()

    def _next_piece(self, seconds: float) -> _Piece | None:
        chunk = self._content.read(seconds)
        if chunk is None:
            return None
        if chunk:
            return _Piece(self._splitter.feed(chunk))
        self._content.close()
        return _Piece(self._splitter.finish(), is_last=True)


@dataclass(slots=True)
class _ReceivedLine:
    """A line that was received. The line is visible again at `due`, unless it is acknowledged."""

    message: Message
    due: float
    given_back: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """The lines that end in one read."""

    lines: Sequence[tuple[int, bytes]] = ()
    is_last: bool = False
