"""Load the queue: receive, write a batch, delete what is committed; until the queue is empty."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from vault_etl.core.messages import Message, Outcome
from vault_etl.errors import VaultEtlError
from vault_etl.ports.clock import Clock
from vault_etl.ports.progress import Progress
from vault_etl.ports.queue import MAX_CALL, Queue, QueueDepth, QueueGauge
from vault_etl.services.write_batch import BatchWriter

MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch of the largest messages (1 MiB each) closes here."""

EMPTY_POLLS: Final = 2
"""Long polls in a row that must bring nothing before the queue's own counts are believed."""

DELETE_TRIES: Final = 3

GIVE_BACK_SECONDS: Final = (5, 30)
"""When a message that is given back is seen again: at random, so that not all come at once."""


class Stop(Protocol):
    """Asked before each receive whether to end."""

    def is_set(self) -> bool:
        """Whether to end."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The bounds of a run. `linger` and `wait` are in seconds, `wait` from 0 to 20."""

    batch_size: int = 1_000
    linger: float = 1.0
    wait: int = 1
    max_messages: int | None = None


@dataclass(slots=True)
class IngestSummary:
    """received = stored + duplicates + quarantined + already_quarantined + given_back, always."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    already_quarantined: int = 0
    given_back: int = 0
    deleted: int = 0
    left_in_flight: int = 0
    left_delayed: int = 0
    seconds: float = 0.0
    messages_per_second: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """The summary in the order of the fields."""
        return asdict(self)


class Ingest:
    """One receiver and one loader. What a message became is a value; a failure ends the run."""

    def __init__(
        self,
        queue: Queue,
        gauge: QueueGauge,
        writer: BatchWriter,
        clock: Clock,
        progress: Progress,
        options: IngestOptions,
    ) -> None:
        self._queue = queue
        self._gauge = gauge
        self._writer = writer
        self._clock = clock
        self._progress = progress
        self._options = options
        self.summary = IngestSummary()

    def drain(self, stop: Stop) -> IngestSummary:
        """Load until the queue is empty, `max_messages` are received, or `stop` is set.

        Raises what the queue, KMS and the database raise, after giving back what was received.
        """
        started = self._clock.monotonic()
        try:
            for batch in self._batches(stop):
                self._write(batch)
        finally:
            self.summary.seconds = round(self._clock.monotonic() - started, 3)
            done = self.summary.received - self.summary.given_back
            self.summary.messages_per_second = round(done / max(self.summary.seconds, 0.001), 1)
        depth = self._gauge.depth()
        self.summary.left_in_flight = depth.in_flight
        self.summary.left_delayed = depth.delayed
        return self.summary

    def _batches(self, stop: Stop) -> Iterator[list[Message]]:
        """Batches of messages, each closed by its size, its bytes, its linger or an empty receive."""
        empty_polls = 0
        while not stop.is_set() and self._room(0):
            batch = self._collect(stop)
            if batch:
                empty_polls = 0
                yield batch
                continue
            empty_polls += 1
            if empty_polls >= EMPTY_POLLS and _is_empty(self._gauge.depth()):
                return

    def _collect(self, stop: Stop) -> list[Message]:
        """One batch, or nothing after one long poll. If a receive fails, what came before is given back."""
        batch: list[Message] = []
        try:
            received = self._receive(self._options.wait, batch)
            size = _bytes(received)
            ends = self._clock.monotonic() + self._options.linger
            while (
                received
                and not stop.is_set()
                and self._room(len(batch))
                and size < MAX_BATCH_BYTES
                and self._clock.monotonic() < ends
            ):
                received = self._receive(0, batch)
                size += _bytes(received)
        except BaseException:
            self._give_back(batch)
            raise
        return batch

    def _receive(self, wait: int, batch: list[Message]) -> Sequence[Message]:
        received = self._queue.receive(wait, self._room(len(batch)))
        batch += received
        self.summary.received += len(received)
        return received

    def _write(self, batch: Sequence[Message]) -> None:
        try:
            outcomes, extra_fields = self._writer.write(batch)
        except BaseException:
            self._give_back(batch)
            raise
        counts = Counter(outcomes)
        self.summary.stored += counts[Outcome.STORED]
        self.summary.duplicates += counts[Outcome.DUPLICATE]
        self.summary.quarantined += counts[Outcome.QUARANTINED]
        self.summary.already_quarantined += counts[Outcome.ALREADY_QUARANTINED]
        self.summary.deleted += self._delete([message.receipt_handle for message in batch])
        self._progress.advance(
            len(batch),
            extra_fields=extra_fields,
            **{outcome.value: counts[outcome] for outcome in Outcome},
        )

    def _delete(self, handles: Sequence[str]) -> int:
        """Delete what is committed. What cannot be deleted comes again, and is then a duplicate."""
        left = list(handles)
        for _ in range(DELETE_TRIES):
            left = [failed for ten in _tens(left) for failed in self._queue.delete(ten)]
            if not left:
                break
        return len(handles) - len(left)

    def _give_back(self, batch: Sequence[Message]) -> None:
        """Let what is not stored be seen again soon. A queue that cannot be told shows it by itself later."""
        self.summary.given_back += len(batch)
        for ten in _tens([message.receipt_handle for message in batch]):
            with contextlib.suppress(VaultEtlError):
                self._queue.extend({handle: random.randint(*GIVE_BACK_SECONDS) for handle in ten})  # noqa: S311 - no secret

    def _room(self, held: int) -> int:
        """How many messages the next receive may bring: 0 when the batch, or the run, is full."""
        room = self._options.batch_size - held
        if self._options.max_messages is not None:
            room = min(room, self._options.max_messages - self.summary.received)
        return max(0, min(room, MAX_CALL))


def _bytes(messages: Sequence[Message]) -> int:
    return sum(len(message.body.expose()) for message in messages)


def _is_empty(depth: QueueDepth) -> bool:
    return depth.visible == 0 and depth.delayed == 0


def _tens(handles: Sequence[str]) -> Iterator[Sequence[str]]:
    return (handles[i : i + MAX_CALL] for i in range(0, len(handles), MAX_CALL))
