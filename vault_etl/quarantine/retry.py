"""Parse quarantined messages again with today's rules, and make records of those that pass."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.events import LoginEvent
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.old import KeyAtFault, OldKeys
from vault_etl.keys.ring import KeyRing
from vault_etl.platform.clock import Clock, Progress
from vault_etl.records.fenced_writes import (
    FenceTries,
    KeysChanged,
    RowsRefused,
    WriteKeys,
    by_halves,
)
from vault_etl.records.messages import Parsed, RecordRange, SealedRecord, parse_again, seal_event
from vault_etl.records.partitions import is_undated, month_to_make
from vault_etl.records.unattached_months import MonthAway, Months

BATCH_ROWS: Final = 100
"""Bodies in one transaction, which locks their rows; fewer of long ones, whose bytes are bounded too."""


@dataclass(frozen=True, slots=True)
class Retried:
    """Which messages are tried again: these ids, or all; of this reason, or of any."""

    only: Sequence[uuid.UUID] | None = None
    reason_code: str | None = None


EVERY_BODY: Final = Retried()


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """The sealed body of a row as it was read."""

    record_id: uuid.UUID
    ciphertext: bytes
    source_id: uuid.UUID | None = None
    """The file that the line is of; None: a queue."""


@dataclass(frozen=True, slots=True)
class Release:
    """A body as it was read, and the record that it has turned out to be."""

    body: QuarantinedBody
    record: SealedRecord


@dataclass(frozen=True, slots=True)
class Moved:
    """Committed: these are records now. A body that changed since it was read is not among them."""

    record_ids: frozenset[uuid.UUID]


class QuarantineMover(Protocol):
    """May read bodies, and store as records those that pass."""

    def bodies(
        self, wanted: Retried, after: uuid.UUID | None, limit: int
    ) -> Sequence[QuarantinedBody]:
        """The next of these bodies that are not erased, in the order of their record ids."""

    def move(
        self, releases: Sequence[Release], keys: WriteKeys
    ) -> Moved | KeysChanged | RowsRefused:
        """Store the records and delete the rows, in one transaction behind the fence, and commit it.

        A body that was erased or sealed anew since it was read stays what it is, and its record is
        not stored. A record that is there already stays as it is too, and its row goes.
        """


class PartitionMaker(Protocol):
    """May have months made. Every `RecordLoader` is one."""

    def prepare_partitions(self, months: Iterable[dt.date] = ()) -> tuple[RecordRange, ...]:
        """See `RecordLoader.prepare_partitions`."""


@dataclass(frozen=True, slots=True)
class RetryReport:
    """What a retry did, or would do. What does not open was tried, and is still quarantined."""

    retried: int
    moved: int
    not_opened: tuple[uuid.UUID, ...]
    not_found: tuple[uuid.UUID, ...]
    """Ids that were asked for and have no row, or an erased body."""
    at_fault: tuple[KeyAtFault, ...] = ()
    """Keys that nothing opens, with bodies under them."""
    extra_fields: int = 0
    """Unknown fields that what moved has lost."""
    extra_field_names: Mapping[str, int] = field(default_factory=dict)
    month_closed: int = 0
    """Those that would be records, but for their months, which take no rows."""
    closed: tuple[MonthAway, ...] = ()
    """These months."""

    @property
    def still_quarantined(self) -> int:
        """How many were tried and are no records."""
        return self.retried - self.moved


@dataclass(frozen=True, slots=True)
class _Passed:
    """A body, and the event in it."""

    body: QuarantinedBody
    parsed: Parsed
    event: LoginEvent


class QuarantineRetry:
    """One retry: online, safe to interrupt, to run again, and to run twice at once."""

    def __init__(  # noqa: PLR0913 - its parts, by their names
        self,
        *,
        audit: AuditLog,
        mover: QuarantineMover,
        partitions: PartitionMaker,
        ring: KeyRing,
        old: OldKeys,
        leases: DataKeyLeases,
        clock: Clock,
        progress: Progress,
        months: Months,
    ) -> None:
        self._audit = audit
        self._mover = mover
        self._months = months
        self._partitions = partitions
        self._ring = ring
        self._old = old
        self._leases = leases
        self._clock = clock
        self._progress = progress
        self._strict = False
        self._extra_fields = ExtraFields()
        self._ranges: tuple[RecordRange, ...] = ()
        self._asked_for: set[dt.date] = set()
        self._away: Sequence[MonthAway] | None = None
        self._closed: list[MonthAway] = []

    def move(
        self, request: AuditRequest, wanted: Retried = EVERY_BODY, *, strict: bool = False
    ) -> RetryReport:
        """Try these rows; `strict` leaves those with unknown fields.

        One that still fails stays, and its reason with it.

        A body that does not open is left and named in the report, and so is a key. A caller whom KMS
        refuses ends the run. Raises AuditError, IncompleteError, ConfigurationError,
        KeyUnavailableError, UnavailableError; what was moved until then stays moved.
        """
        self._strict = strict
        return self._run(request, wanted, self._move)

    def count(
        self, request: AuditRequest, wanted: Retried = EVERY_BODY, *, strict: bool = False
    ) -> RetryReport:
        """What `move` would do now. Bodies are opened for it; nothing is written but the log."""
        self._strict = strict
        return self._run(request, wanted, self._count)

    def _run(
        self,
        request: AuditRequest,
        wanted: Retried,
        settle: Callable[[list[_Passed]], int],
    ) -> RetryReport:
        retried = moved = 0
        missing = set(wanted.only or ())
        not_opened: list[uuid.UUID] = []
        after: uuid.UUID | None = None
        with audited(self._audit, request) as receipt:
            self._old.must_trust(KeyPurpose.DATA)
            opener = Opener(receipt)
            while bodies := self._mover.bodies(wanted, after, BATCH_ROWS):
                after = bodies[-1].record_id
                moved += settle(self._events(opener, bodies, not_opened))
                retried += len(bodies)
                missing.difference_update(body.record_id for body in bodies)
                self._progress.advance(len(bodies), moved=moved)
            at_fault = tuple(self._old.at_fault())
        return RetryReport(
            retried,
            moved,
            tuple(not_opened),
            tuple(sorted(missing)),
            at_fault,
            self._extra_fields.total,
            self._extra_fields.most(),
            len(self._closed),
            tuple(dict.fromkeys(self._closed)),
        )

    def _events(
        self, opener: Opener, bodies: Sequence[QuarantinedBody], not_opened: list[uuid.UUID]
    ) -> list[_Passed]:
        """The bodies that are login events by today's rules."""
        events = []
        for body in bodies:
            try:
                key_id = Ciphertext.parse(body.ciphertext).key_id
                key = self._old.data_key(key_id, Field.QUARANTINE)
                if key is None:
                    raise IntegrityError  # noqa: TRY301
                place = ValuePlace.in_quarantine(body.record_id)
                opened = opener.open(body.ciphertext, place, key)
                parsed = parse_again(
                    body.record_id,
                    opened,
                    of_line=body.source_id is not None,
                    strict=self._strict,
                )
            except IntegrityError:
                not_opened.append(body.record_id)
                continue
            if isinstance(parsed.content, LoginEvent):
                events.append(_Passed(body, parsed, parsed.content))
        return events

    def _count(self, events: list[_Passed]) -> int:
        now = self._clock.now()
        return self._counted(
            [
                p
                for p in events
                if not self._is_closed(p.body.record_id)
                and (
                    is_undated(p.body.record_id) or month_to_make(p.body.record_id, now) is not None
                )
            ]
        )

    def _is_closed(self, record_id: uuid.UUID) -> bool:
        """Whether the month takes no rows; it is in the report then."""
        if self._away is None:
            self._away = self._months.away()
        month = next((month for month in self._away if month.takes(record_id)), None)
        if month is not None:
            self._closed.append(month)
        return month is not None

    def _counted(self, moved: Sequence[_Passed]) -> int:
        for passed in moved:
            self._extra_fields.add(passed.event.extra_fields)
        return len(moved)

    def _move(self, events: list[_Passed]) -> int:
        """What has a month to go to is moved. The rest was sent out of range, and stays."""
        if events and not self._ranges:
            self._ranges = self._partitions.prepare_partitions()
        now = self._clock.now()
        homeless = [p.body.record_id for p in events if not self._has_room(p.body.record_id)]
        months = {month for i in homeless if (month := month_to_make(i, now))} - self._asked_for
        if months:
            self._ranges = self._partitions.prepare_partitions(sorted(months))
            self._asked_for |= months  # a detached one stays away, however often it is asked for
        there = [p for p in events if self._has_room(p.body.record_id)]
        for record_id in {p.body.record_id for p in events} - {p.body.record_id for p in there}:
            self._is_closed(record_id)
        return self._move_taken(there)

    def _has_room(self, record_id: uuid.UUID) -> bool:
        return any(r.first <= record_id < r.end and not r.closed for r in self._ranges)

    def _move_taken(self, events: Sequence[_Passed]) -> int:
        """Move what the database takes. Halving finds a row with a value that it refuses; this row stays."""
        parts = by_halves(events, self._move_fenced) if events else ()
        return sum(
            self._counted([p for p in part if p.body.record_id in result.record_ids])
            for part, result in parts
            if isinstance(result, Moved)
        )

    def _move_fenced(
        self, events: Sequence[_Passed]
    ) -> tuple[Sequence[_Passed], Moved | RowsRefused]:
        """Seal and move; repeat with new keys when the fence finds that the keys have changed."""
        tries = FenceTries(self._leases.forget, "batch")
        while isinstance(result := self._seal_and_move(events), KeysChanged):
            tries.keys_changed()
        return events, result

    def _seal_and_move(self, events: Sequence[_Passed]) -> Moved | KeysChanged | RowsRefused:
        keys = tuple(self._leases.data_key(field, len(events)) for field in PERSONAL_FIELDS)
        sealer = Sealer(keys)
        active, pending = self._ring.tokenizers()
        return self._mover.move(
            [
                Release(p.body, seal_event(p.parsed, p.event, sealer, active, pending))
                for p in events
            ],
            WriteKeys((active.generation, pending.generation if pending else None), keys),
        )
