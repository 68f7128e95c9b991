"""What an ingest tells of itself while it runs: counts, times and states, never a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Protocol, Self

from vault_etl.crypto.fields import Field
from vault_etl.event.rejection import Reason
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Outcome


class Movement(StrEnum):
    """What happens to messages between the queue and a batch."""

    RECEIVED = "received"
    DELETED = "deleted"
    GIVEN_BACK = "given_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """One batch that was tried. Ages are seconds since the message was sent, `bytes` are in whole KiB."""

    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Reason, int]
    """Of the newly quarantined ones."""
    extra_fields: Mapping[str, int]
    """Unknown fields that were dropped, by the names that may be shown."""
    bytes: int
    seconds: float
    newest_age: float
    oldest_age: float
    max_receive_count: int
    cause: str | None
    """Why messages are to be tried again: the class of the error, or None."""

    @property
    def messages(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: what a worker writes, and its parent reads."""
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The report that `as_dict` was made of. Raises KeyError, TypeError or ValueError for others."""
        outcomes = {Outcome(name): n for name, n in values["outcomes"].items()}
        reasons = {Reason(name): n for name, n in values["reasons"].items()}
        return cls(**{**values, "outcomes": outcomes, "reasons": reasons})


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """How an ingest is, about once a second."""

    ready: bool
    """False while a dependency is away, and from the first signal to stop on."""
    away: str | None
    """What is away (the service, and the class of its last error), or None."""
    stuck: str | None
    """A thread that has been in one step for longer than any step takes, or None."""
    held: int
    held_bytes: int
    depth: QueueDepth | None
    """As the queue said last; None before it was asked."""
    seals_left: Mapping[Field, int]
    """Of the leases taken so far."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: what a worker writes, and its parent reads."""
        depth = None if self.depth is None else _plain(self.depth)
        return _plain(self) | {"depth": depth}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The state that `as_dict` was made of. Raises KeyError, TypeError or ValueError for others."""
        depth = None if values["depth"] is None else QueueDepth(**values["depth"])
        seals_left = {Field(name): n for name, n in values["seals_left"].items()}
        return cls(**{**values, "depth": depth, "seals_left": seals_left})


class IngestObserver(Protocol):
    """Told by several threads: it locks what it must."""

    def moved(self, movement: Movement, messages: int) -> None:
        """So many messages were received, deleted or given back."""

    def batch(self, report: BatchReport) -> None:
        """A batch was tried."""

    def state(self, state: IngestState) -> None:
        """The present state."""


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - one of the dataclasses above
    """The fields, and mappings whose keys are text."""
    plain = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        name: {str(key): count for key, count in inner.items()}
        if isinstance(inner, Mapping)
        else inner
        for name, inner in plain.items()
    }


class WorkersObserver(Protocol):
    """Shows the workers of one ingest; one without worker processes has one, itself."""

    def worker(self, pid: int) -> IngestObserver:
        """The observer of the worker with this process id. One a worker, not one a call."""

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """This worker has ended: its state no longer counts. What it has done does."""


def all_observers(*targets: WorkersObserver) -> WorkersObserver:
    """Tells each of `targets`, in this order."""
    return _All(targets)


class _All:
    def __init__(self, targets: tuple[WorkersObserver, ...]) -> None:
        self._targets = targets

    def worker(self, pid: int) -> IngestObserver:
        """See `WorkersObserver.worker`."""
        return observers(*(target.worker(pid) for target in self._targets))

    def worker_ended(self, pid: int, exit_code: int) -> None:
        """See `WorkersObserver.worker_ended`."""
        for target in self._targets:
            target.worker_ended(pid, exit_code)


def observers(*targets: IngestObserver) -> IngestObserver:
    """Tells each of `targets`, in this order, what it is told."""
    return targets[0] if len(targets) == 1 else _Observers(targets)


class _Observers:
    def __init__(self, targets: tuple[IngestObserver, ...]) -> None:
        self._targets = targets

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        for target in self._targets:
            target.moved(movement, messages)

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        for target in self._targets:
            target.batch(report)

    def state(self, state: IngestState) -> None:
        """See `IngestObserver.state`."""
        for target in self._targets:
            target.state(state)
