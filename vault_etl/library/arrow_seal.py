"""Rows of a program as a sealed table, in the layout of a set. Nothing is written but the data keys."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from typing import Any, Final

import pyarrow as pa

from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.ingest import file_parser
from vault_etl.app.key_ring import ring
from vault_etl.app.keys import leases
from vault_etl.app.parts import Parts
from vault_etl.archives.parquet_layout import schema_of_set
from vault_etl.base.errors import DataError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.record_id import FIRST_DAY, first_millisecond
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.lake.parquet_seal import LeasedSealer
from vault_etl.lake.seal import Row as SealedRow
from vault_etl.library.rows import Rows, json_lines
from vault_etl.records.messages import Line, Message, RecordRange, RecordRanges, parse_message

_SHOWN: Final = 10
_FIRST_ID: Final = uuid.UUID(int=0)
_LAST_ID: Final = uuid.UUID(int=2**128 - 1)


class TableSealer:
    """Seals rows of one event under data keys of this process, which it keeps for one lease."""

    def __init__(self, parts: Parts, event: str, *, strict: bool) -> None:
        must_be_in_force(parts)
        self._parser = file_parser(parts.declaration, event)
        (self._event,) = self._parser.events
        keys = ring(parts, max_seconds=parts.settings.lease_hours * 3600)
        self._seal = LeasedSealer(self._event, keys, leases(parts))
        self._ranges = RecordRanges([RecordRange(self._event.name, _FIRST_ID, _LAST_ID)])
        self._batch = parts.settings.batch_size
        self._strict = strict or parts.settings.strict

    def seal(self, rows: Rows, set_id: uuid.UUID, first: int, sent: dt.date | None) -> Any:  # noqa: ANN401 - a table of pyarrow, which has no types
        """Return the table of the rows, whose numbers are counted from `first`.

        Raises DataError, which names rows by their numbers, if some are no events, and the errors of KMS and Postgres.
        """
        if first < 1 or (sent is not None and sent < FIRST_DAY):
            message = "rows are counted from 1, and days from 1970"
            raise UsageError(message)
        batches = list[Any]()
        rejected = list[str]()
        lines = json_lines(rows, first)
        while numbered := list(itertools.islice(lines, self._batch)):
            sealed = list[SealedRow]()
            for number, line in numbered:
                record_id, content = self._parsed(number, line, set_id, sent)
                if isinstance(content, ParsedEvent):
                    sealed.append((record_id, content))
                else:
                    rejected.append(f"{number} ({content.reason.value} at {content.path})")
            if sealed and not rejected:
                batches.append(self._seal(sealed))
        if rejected:
            message = f"{len(rejected)} rows are not events: {', '.join(rejected[:_SHOWN])}"
            raise DataError(message, hint="no row was sealed: correct these, or leave them out")
        return pa.Table.from_batches(batches, schema_of_set(self._event))

    def _parsed(
        self, number: int, line: bytes, set_id: uuid.UUID, sent: dt.date | None
    ) -> tuple[uuid.UUID, ParsedEvent | Rejection]:
        sent_ms = 0 if sent is None else first_millisecond(sent)
        message = Message("", "", Pii(line), sent_ms, line=Line(set_id, number))
        parsed = parse_message(self._parser, message, self._ranges, strict=self._strict)
        content = parsed.content
        if isinstance(content, ParsedEvent) and content.day is None and sent is None:
            return parsed.record_id, Rejection(
                Reason.SENT_OUT_OF_RANGE, str(content.event.day.path)
            )
        return parsed.record_id, content
