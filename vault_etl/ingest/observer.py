"""Reports of a running ingest, and the protocols of their observers: counts and times, never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from typing_extensions import override

from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.event.rejection import Reason
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Message, Outcome

if TYPE_CHECKING:
    from vault_etl.records.written import Written


class Movement(StrEnum):
    """A movement of messages between the queue and a batch."""

    RECEIVED = "received"
    DELETED = "deleted"
    GIVEN_BACK = "given_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """One batch that was tried. Ages are seconds since a message was sent, `bytes` are whole KiB."""

    outcomes: Mapping[Outcome, int]
    stored: Mapping[EventName, int]
    """The newly stored messages by their event."""
    reasons: Mapping[Reason, int]
    """Reasons of the newly quarantined messages."""
    extra_fields: Mapping[str, int]
    """Unknown fields that were dropped, by name, for names that may be shown."""
    bytes: int
    seconds: float
    newest_age: float
    oldest_age: float
    max_receive_count: int
    cause: str | None
    """The reason why messages are tried again: the class of the error, or None."""

    @classmethod
    def of(
        cls,
        messages: Sequence[Message],
        written: Written,
        size: int,
        seconds: float,
        now_ms: float,
    ) -> Self:
        """Report a batch of `size` bytes, written in `seconds`, at `now_ms` (Unix time).

        The lines of a file have no age: 0.
        """
        ages = [
            0.0 if message.line else max(0.0, now_ms - message.sent_ms) / 1000
            for message in messages
        ]
        return cls(
            outcomes=Counter(written.outcomes),
            stored=written.stored,
            reasons=written.reasons,
            extra_fields=written.extra_fields,
            bytes=whole_kib(size),
            seconds=seconds,
            newest_age=min(ages),
            oldest_age=max(ages),
            max_receive_count=max(message.receive_count for message in messages),
            cause=written.cause.word if written.cause else None,
        )

    @property
    def messages(self) -> int:
        """The number of messages in the batch."""
        return sum(self.outcomes.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON: a worker writes it, and its parent reads it."""
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a report from `as_dict`. Raises KeyError, TypeError or ValueError for other values."""
        outcomes = {Outcome(name): n for name, n in values["outcomes"].items()}
        stored = {EventName(name): n for name, n in values["stored"].items()}
        reasons = {Reason(name): n for name, n in values["reasons"].items()}
        return cls(**{**values, "outcomes": outcomes, "stored": stored, "reasons": reasons})


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """The state of an ingest, reported about once a second."""

    ready: bool
    """False while a dependency is unavailable, and after the first signal to stop."""
    unavailable: str | None
    """The dependency that is unavailable (its service, and the class of its last error), or None."""
    stuck: str | None
    """The name of a thread that has been in one step for longer than any step takes, or None."""
    receivers: int
    deleters: int
    """Threads that receive, and that delete."""
    held_back: int
    """The number of these two crews that do not grow for a while, because more calls would not help."""
    held: int
    held_bytes: int
    depth: QueueDepth | None
    """The queue's last counts; None before the first."""
    seals_left: Mapping[FieldName, int]
    """Seals left under the leases taken so far."""

    def as_dict(self) -> dict[str, Any]:
        """Return the state for JSON: a worker writes it, and its parent reads it."""
        depth = None if self.depth is None else _plain(self.depth)
        return _plain(self) | {"depth": depth}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a state from `as_dict`. Raises KeyError, TypeError or ValueError for other values."""
        depth = None if values["depth"] is None else QueueDepth(**values["depth"])
        seals_left = {FieldName(name): n for name, n in values["seals_left"].items()}
        return cls(**{**values, "depth": depth, "seals_left": seals_left})


class IngestObserver(Protocol):
    """Receives the reports of one ingest, from several threads: an implementation locks what it must."""

    def moved(self, movement: Movement, messages: int) -> None:
        """Record that messages were received, deleted or given back."""

    def batch(self, report: BatchReport) -> None:
        """Record a batch that was tried."""

    def state(self, state: IngestState) -> None:
        """Record the present state."""


class WorkersObserver(Protocol):
    """Receives the reports of all workers of an ingest; without worker processes, the ingest is one."""

    def worker(self, pid: int) -> IngestObserver:
        """Return the observer of the worker with this process id. Called once for each worker."""

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """Record that a worker ended: its state no longer counts, its totals still do."""


def observers(*targets: IngestObserver) -> IngestObserver:
    """Return an observer that passes each report to each of `targets`, in this order."""
    return targets[0] if len(targets) == 1 else _Observers(targets)


def all_observers(*targets: WorkersObserver) -> WorkersObserver:
    """Return an observer of workers that passes each call to each of `targets`, in this order."""
    return _WorkersObservers(targets)


def whole_kib(size: int) -> int:
    """Round bytes up to whole KiB: the exact size of a single message tells the length of its values."""
    return -(-size // 1024) * 1024


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - one of the dataclasses above
    """Return the fields; the keys of their mappings become text."""
    plain = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        name: {str(key): count for key, count in inner.items()}
        if isinstance(inner, Mapping)
        else inner
        for name, inner in plain.items()
    }


class _WorkersObservers(WorkersObserver):
    def __init__(self, targets: tuple[WorkersObserver, ...]) -> None:
        self._targets = targets

    @override
    def worker(self, pid: int) -> IngestObserver:
        return observers(*(target.worker(pid) for target in self._targets))

    @override
    def worker_ended(self, pid: int, exit_code: int) -> None:
        for target in self._targets:
            target.worker_ended(pid, exit_code)


class _Observers(IngestObserver):
    def __init__(self, targets: tuple[IngestObserver, ...]) -> None:
        self._targets = targets

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        for target in self._targets:
            target.moved(movement, messages)

    @override
    def batch(self, report: BatchReport) -> None:
        for target in self._targets:
            target.batch(report)

    @override
    def state(self, state: IngestState) -> None:
        for target in self._targets:
            target.state(state)
