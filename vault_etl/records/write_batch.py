"""Write one batch of messages into the database: parse, tokenise, seal, and store behind the fence."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from vault_etl.base.errors import ConfigurationError, DeniedError, IncompleteError, UnavailableError
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.crypto.record_id import milliseconds_of
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import KeyRing
from vault_etl.platform.clock import Clock
from vault_etl.records.fenced_writes import (
    FenceTries,
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
    by_halves,
)
from vault_etl.records.messages import (
    EventMonth,
    Message,
    Parsed,
    RecordRange,
    RecordRanges,
    SealedRecord,
    SealedRejection,
    parse_message,
)
from vault_etl.records.sealing import RecordSealer, seal_rejection, seals_of
from vault_etl.records.written import BatchProgress, Written, written

MAX_MONTH_TRIES: Final = 5
"""Times in a row that a month may be detached under a batch before an operator must find the cause."""

RANGES_SECONDS: Final = 86_400.0
"""Seconds between two reads of the months, when coming months are made too."""

NOT_MADE_SECONDS: Final = 60.0
"""Seconds between two attempts to make a month that could not be made: it may be attached again."""

REFUSED_WINDOW: Final = 1_000
MAX_REFUSED: Final = 10
"""The most refused rows among the last `REFUSED_WINDOW`. With more, the schema is at fault, and not the data."""


class RecordLoader(Protocol):
    """Writes rows that it cannot read."""

    def prepare_partitions(self, months: Iterable[EventMonth] = ()) -> tuple[RecordRange, ...]:
        """Make the partitions of the months from two back to three ahead, and of these; return all ranges.

        The former are made for each event. A month more than 24 months back or three ahead
        is not made, and neither is a closed one, whose range is returned too.
        """

    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        """Store a batch in one transaction behind the fence, and commit it.

        Raises UnavailableError, DeniedError or ConfigurationError. Then no row is stored, or the result of the
        commit is unknown; a second load is safe and finds it out.
        """

    def probe(self) -> None:
        """Test the connection for seconds, without a write. Raises what `load` raises if no batch can be stored."""


class BatchWriter:
    """Writes batches. Keeps the plaintext of a batch until the commit, and no longer."""

    def __init__(
        self,
        loader: RecordLoader,
        ring: KeyRing,
        leases: DataKeyLeases,
        clock: Clock,
        parser: EventParser,
        *,
        strict: bool = False,
    ) -> None:
        self._loader = loader
        self._ring = ring
        self._leases = leases
        self._clock = clock
        self._parser = parser
        self._strict = strict
        self._ranges = RecordRanges()
        self._ranges_end = -math.inf
        self._months_not_made: set[EventMonth] = set()
        self._not_made_end = -math.inf
        self._refused = collections.deque[bool](maxlen=REFUSED_WINDOW)

    def prepare(self) -> None:
        """Make the partitions and load the token keys, before the first batch.

        Raises ConfigurationError without keys or with a KMS that ignores contexts, and the errors of Postgres and KMS.
        """
        self._read_ranges(())
        self._ring.tokenizers()

    def probe(self) -> None:
        """Test the connection without a write, as `RecordLoader.probe` does."""
        self._loader.probe()

    @property
    def seals_left(self) -> Mapping[FieldName, int]:
        """The number of values that may still be sealed under the data keys in use."""
        return self._leases.seals_left

    def write(self, messages: Sequence[Message]) -> Written:
        """Store or quarantine every message.

        Every outcome except `RETRY` is committed. Raises ConfigurationError if the database refuses too
        many rows, and other errors that a retry does not mend. Rows that were committed before the error are
        duplicates in the next attempt.
        """
        progress = BatchProgress()
        parsed: list[Parsed] = []
        try:
            parsed = self._parse(messages)
            first = list({p.record_id: p for p in reversed(parsed)}.values())
            self._load(first, progress)
            if progress.refused:
                self._quarantine(progress)
        except (UnavailableError, IncompleteError, DeniedError) as error:
            progress.cause = error
        return written(messages, parsed, progress)

    def _parse(self, messages: Sequence[Message]) -> list[Parsed]:
        """Parse the messages; parse those outside every partition again after their months are made."""
        if self._clock.monotonic() >= self._ranges_end:
            self._read_ranges(())
        parse = functools.partial(parse_message, self._parser, strict=self._strict)
        parsed = [parse(message, self._ranges) for message in messages]
        if self._clock.monotonic() >= self._not_made_end:
            self._months_not_made.clear()
        missing = _missing_months(parsed) - self._months_not_made
        if not missing:
            return parsed
        self._read_ranges(missing)
        parsed = [parse(p.message, self._ranges) if p.without_month else p for p in parsed]
        if not self._months_not_made:
            self._not_made_end = self._clock.monotonic() + NOT_MADE_SECONDS
        self._months_not_made |= missing & _missing_months(parsed)
        return parsed

    def _read_ranges(self, months: Iterable[EventMonth]) -> None:
        """Read which months may be loaded. This happens once a day, because new months come."""
        self._ranges = RecordRanges(self._loader.prepare_partitions(months))
        if self._clock.monotonic() >= self._ranges_end:
            self._ranges_end = self._clock.monotonic() + RANGES_SECONDS

    def _load(self, batch: Sequence[Parsed], progress: BatchProgress) -> None:
        """Store what the database takes, by halves if it refuses a row."""
        for part, result in by_halves(batch, self._load_in_months):
            if isinstance(result, Loaded):
                self._refused.extend([False] * len(part))
                progress.loaded(part, result)
                continue
            rejection = Rejection(Reason.REFUSED_BY_DATABASE)
            progress.refused.append(part[0]._replace(content=rejection))
            if sum(self._refused) + len(progress.refused) > MAX_REFUSED:
                message = f"the database refuses row after row (SQLSTATE {result.sqlstate})"
                raise ConfigurationError(
                    message, hint="no event is at fault for that: run `vault-etl migrate --check`"
                )

    def _quarantine(self, progress: BatchProgress) -> None:
        """Quarantine the refused rows, and count them at the commit: in an outage a row is refused again and again."""
        result = self._load_fenced(progress.refused)
        if not isinstance(result, Loaded):
            message = "the database refuses quarantine rows"
            raise ConfigurationError(message, hint="run `vault-etl migrate --check`")
        self._refused.extend([True] * len(progress.refused))
        progress.loaded(progress.refused, result)

    def _load_in_months(
        self, batch: Sequence[Parsed]
    ) -> tuple[Sequence[Parsed], Loaded | RowsRefused]:
        """Store. When a month is no longer attached, read the months again, and quarantine rows without a month."""
        for _ in range(MAX_MONTH_TRIES):
            result = self._load_fenced(batch)
            if not isinstance(result, MonthUnattached):
                return batch, result
            self._read_ranges(())
            batch = self._parse([p.message for p in batch])
        message = "a month of this batch is detached or dropped again and again"
        raise IncompleteError(message, hint="`vault-etl doctor` lists the months that are missing")

    def _load_fenced(self, batch: Sequence[Parsed]) -> Loaded | RowsRefused | MonthUnattached:
        """Seal and store; repeat with new keys when the fence finds that the keys have changed."""
        tries = FenceTries(self._leases.forget, "batch")
        while isinstance(result := self._seal_and_load(batch), KeysChanged):
            tries.keys_changed()
        return result

    def _seal_and_load(
        self, batch: Sequence[Parsed]
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        events = [(p, p.content) for p in batch if isinstance(p.content, ParsedEvent)]
        rejections = [(p, p.content) for p in batch if isinstance(p.content, Rejection)]
        seals = {**seals_of(event for _, event in events), QUARANTINE: len(rejections)}
        keys = [self._leases.data_key(*sealed) for sealed in seals.items() if sealed[1]]
        sealer, queue = Sealer(keys), self._parser.queue
        active, pending = self._ring.tokenizers()
        records = RecordSealer(sealer, active, pending)
        return self._loader.load(
            [records.seal(p.record_id, event, p.message.receive_count) for p, event in events],
            [seal_rejection(p, rejection, sealer, queue) for p, rejection in rejections],
            WriteKeys((active.generation, pending.generation if pending else None), tuple(keys)),
        )


def _missing_months(parsed: Iterable[Parsed]) -> set[EventMonth]:
    """The months that take no rows: they may be made, or were attached after the ranges were read."""
    return {(p.without_month, _month(p.record_id)) for p in parsed if p.without_month}


def _month(record_id: uuid.UUID) -> dt.date:
    """The first day of the month of a record id."""
    try:
        moment = dt.datetime.fromtimestamp(milliseconds_of(record_id) / 1000, dt.UTC)
    except (ValueError, OverflowError):
        return dt.date.max
    return moment.date().replace(day=1)
