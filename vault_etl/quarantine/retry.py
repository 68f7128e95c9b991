"""Retry quarantined messages: parse them again by the current rules, and store those that pass as records."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import QUARANTINE, EventName, KeyPurpose
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.events import EventParser
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import KeyRing
from vault_etl.keys.value_keys import KeyAtFault, ValueKeys
from vault_etl.platform.clock import Clock, Progress
from vault_etl.quarantine.mover import Moved, QuarantineMover, RestoredMessage
from vault_etl.quarantine.read import EVERY_BODY, QuarantinedBody, RetryFilter
from vault_etl.records import messages
from vault_etl.records.fenced_writes import (
    FenceTries,
    KeysChanged,
    RowsRefused,
    WriteKeys,
    by_halves,
)
from vault_etl.records.messages import EventMonth, RecordRange, RecordRanges
from vault_etl.records.months import is_undated, month_to_make
from vault_etl.records.sealing import RecordSealer, seals_of
from vault_etl.records.unattached_months import Months, UnattachedMonth

BATCH_ROWS: Final = 100
"""Bodies in one transaction, which locks their rows. Long bodies make smaller batches, as bytes are limited too."""


class PartitionMaker(Protocol):
    """Makes the partitions of months. Every `RecordLoader` is a PartitionMaker."""

    def prepare_partitions(self, months: Iterable[EventMonth] = ()) -> tuple[RecordRange, ...]:
        """Make the partitions of these months that may have one, and return the ranges of all partitions."""


@dataclass(frozen=True, slots=True)
class RetryReport:
    """The result of a retry or of a dry run. A body that does not open counts as retried, and stays quarantined."""

    retried: int
    moved: int
    not_opened: tuple[uuid.UUID, ...]
    not_found: tuple[uuid.UUID, ...]
    """Requested ids that have no row, or an erased body."""
    at_fault: tuple[KeyAtFault, ...] = ()
    """Keys that cannot be unwrapped, with bodies sealed under them."""
    extra_fields: int = 0
    """Unknown fields that were dropped from moved messages."""
    extra_field_names: Mapping[str, int] = field(default_factory=dict)
    month_closed: int = 0
    """Messages that pass but stay, because their month is closed."""
    closed: tuple[UnattachedMonth, ...] = ()
    """The months of these messages."""

    @property
    def still_quarantined(self) -> int:
        """The number of retried messages that are not records."""
        return self.retried - self.moved


@dataclass(frozen=True, slots=True)
class _Passed:
    """A body that is a event by the current rules."""

    body: QuarantinedBody
    event: ParsedEvent

    @property
    def name(self) -> EventName:
        """The name of the event."""
        return self.event.event.name


class QuarantineRetry:
    """Runs one retry. Workers may run meanwhile; a retry may be interrupted, repeated, and run twice at once."""

    def __init__(  # noqa: PLR0913 - its parts, by their names
        self,
        *,
        audit: AuditLog,
        mover: QuarantineMover,
        partitions: PartitionMaker,
        ring: KeyRing,
        value_keys: ValueKeys,
        leases: DataKeyLeases,
        clock: Clock,
        progress: Progress,
        months: Months,
        parser_of: Callable[[str | None, bool], EventParser],
    ) -> None:
        """`parser_of` makes the parser of bodies of a queue; True: they were lines of a file."""
        self._audit = audit
        self._parser_of = functools.cache(parser_of)
        self._mover = mover
        self._months = months
        self._partitions = partitions
        self._ring = ring
        self._value_keys = value_keys
        self._leases = leases
        self._clock = clock
        self._progress = progress
        self._strict = False
        self._extra_fields = ExtraFields()
        self._ranges: RecordRanges | None = None
        self._asked_for: set[EventMonth] = set()
        self._unattached: Sequence[UnattachedMonth] | None = None
        self._closed: list[UnattachedMonth] = []

    def move(
        self, request: AuditRequest, wanted: RetryFilter = EVERY_BODY, *, strict: bool = False
    ) -> RetryReport:
        """Retry these messages, and move those that pass; with `strict`, events with unknown fields stay.

        A message that fails again stays, with its reason. A body that does not open stays, and the report names it;
        the same holds for a key. If KMS refuses the caller, the run ends. Raises AuditError, IncompleteError,
        ConfigurationError, KeyUnavailableError, UnavailableError; messages moved before stay moved.
        """
        self._strict = strict
        return self._run(request, wanted, self._move)

    def count(
        self, request: AuditRequest, wanted: RetryFilter = EVERY_BODY, *, strict: bool = False
    ) -> RetryReport:
        """Report what `move` would do now. Bodies are opened; only the audit log is written."""
        self._strict = strict
        return self._run(request, wanted, self._count)

    def _run(
        self,
        request: AuditRequest,
        wanted: RetryFilter,
        settle: Callable[[list[_Passed]], int],
    ) -> RetryReport:
        retried = moved = 0
        missing = set(wanted.only or ())
        not_opened: list[uuid.UUID] = []
        after: uuid.UUID | None = None
        with audited(self._audit, request) as receipt:
            self._value_keys.must_trust(KeyPurpose.DATA)
            opener = Opener(receipt)
            while bodies := self._mover.bodies(wanted, after, BATCH_ROWS):
                after = bodies[-1].record_id
                moved += settle(self._events(opener, bodies, not_opened))
                retried += len(bodies)
                missing.difference_update(body.record_id for body in bodies)
                self._progress.advance(len(bodies), moved=moved)
            at_fault = tuple(self._value_keys.at_fault())
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
        """Open these bodies, and return those that are events by the current rules."""
        events = []
        for body in bodies:
            try:
                key_id = Ciphertext.parse(body.ciphertext).key_id
                key = self._value_keys.data_key(key_id, QUARANTINE)
                if key is None:
                    raise IntegrityError  # noqa: TRY301
                place = ValuePlace.in_quarantine(body.record_id)
                opened = opener.open(body.ciphertext, place, key)
                of_line, strict = body.source_id is not None, self._strict
                parser = self._parser_of(body.queue, of_line)
                parsed = messages.parse_again(
                    parser, body.record_id, opened, of_line=of_line, strict=strict
                )
            except IntegrityError:
                not_opened.append(body.record_id)
                continue
            if isinstance(parsed.content, ParsedEvent):
                events.append(_Passed(body, parsed.content))
        return events

    def _count(self, events: list[_Passed]) -> int:
        now = self._clock.now()
        free = [p for p in events if not self._note_unattached(p)]
        return self._counted([p for p in free if _may_have_month(p.body.record_id, now)])

    def _note_unattached(self, passed: _Passed) -> bool:
        """Tell whether the month is unattached, and add it to the report then."""
        if self._unattached is None:
            self._unattached = self._months.unattached()
        of_event = [month for month in self._unattached if month.event == passed.name]
        month = next((month for month in of_event if month.takes(passed.body.record_id)), None)
        if month is not None:
            self._closed.append(month)
        return month is not None

    def _counted(self, moved: Sequence[_Passed]) -> int:
        for passed in moved:
            self._extra_fields.add(passed.event.extra_fields)
        return len(moved)

    def _move(self, events: list[_Passed]) -> int:
        """Move the events whose month takes rows. The others stay: their month is closed, or out of range."""
        if events and self._ranges is None:
            self._ranges = RecordRanges(self._partitions.prepare_partitions())
        now = self._clock.now()
        months = {
            (p.name, month)
            for p in events
            if not self._has_room(p) and (month := month_to_make(p.body.record_id, now))
        } - self._asked_for
        if months:
            self._ranges = RecordRanges(self._partitions.prepare_partitions(sorted(months)))
            self._asked_for |= months  # asking again for a detached month changes nothing
        there = [p for p in events if self._has_room(p)]
        for passed in events:
            if not self._has_room(passed):
                self._note_unattached(passed)
        return self._move_taken(there)

    def _has_room(self, passed: _Passed) -> bool:
        ranges, record_id = self._ranges, passed.body.record_id
        return ranges is not None and ranges.take(passed.name, record_id)

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
        seals = seals_of(passed.event for passed in events)
        keys = tuple(self._leases.data_key(field, count) for field, count in seals.items())
        active, pending = self._ring.tokenizers()
        records = RecordSealer(Sealer(keys), active, pending)
        return self._mover.move(
            [RestoredMessage(p.body, records.seal(p.body.record_id, p.event)) for p in events],
            WriteKeys((active.generation, pending.generation if pending else None), keys),
        )


def _may_have_month(record_id: uuid.UUID, now: dt.datetime) -> bool:
    return is_undated(record_id) or month_to_make(record_id, now) is not None
