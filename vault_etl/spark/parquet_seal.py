"""Seal the partitions of a data frame into the parts of a new set."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vault_etl.app.batches import batch_writer
from vault_etl.app.ingest import file_parser
from vault_etl.app.lake_places import at_place, must_be_free, sets
from vault_etl.app.lake_seal import PART_BYTES, VaultQuarantine, event_of_set, finish_set
from vault_etl.app.partitions import archive_store
from vault_etl.archives.manifest import (
    rewritten_part_name,
)
from vault_etl.archives.parquet_parts import set_marks
from vault_etl.archives.sets import mark_of
from vault_etl.base.errors import DataError, UsageError
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.document import digest_of
from vault_etl.lake.parquet_plain import record_of, required_columns, rows_of
from vault_etl.lake.parquet_seal import LeasedSealer, PartOfRows
from vault_etl.lake.seal import SealParts
from vault_etl.lake.source_records import Reached, Records
from vault_etl.platform.store import parse_location
from vault_etl.spark.parquet_jobs import ATTEMPTS, attempt, for_each_partition
from vault_etl.spark.process import process_vault
from vault_etl.spark.reports import decoded, encoded

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MAX_PARTS: Final = 1_000
"""Parts of one partition, 64 GB of rows."""

_ROWS_OF_A_PARTITION: Final = 2**33


@dataclass(frozen=True, slots=True)
class SealedSet:
    """A finished set: its place, its id, the SHA-256 of its manifest, its rows, and how many records were rejected."""

    location: str
    set_id: uuid.UUID
    manifest_sha256: bytes
    rows: int
    quarantined: int


def seal(
    frame: DataFrame, place: str, *, event: str | None = None, sent: dt.date | None = None
) -> SealedSet:
    """Seal a frame into a new set at `place`: a path that all executors see, or s3://bucket/prefix. It is eager.

    The columns of the frame have the names at the top of the event's messages. `sent` is the day of rows that have
    none. Rows that are no event go to the quarantine of the vault. Driver and executors have the role ingest.

    Raises UsageError for a place that has other files, ConfigurationError, IncompleteError, and the error of a task.
    """
    vault = process_vault()
    parts, declaration = vault.parts, vault.parts.declaration
    declared = event_of_set(declaration, event)
    if missing := [name for name in required_columns(declared) if name not in frame.columns]:
        message = f"the frame has no column {', '.join(missing)}"
        raise UsageError(message, hint="rename its columns as the messages of the event name them")
    location = parse_location(place, str(Path.cwd()))
    registry = sets(parts)
    with at_place(parts, location) as files:
        must_be_free(parts, files)
        set_id = registry.begin(declared.name, location)
        numbered = [name for name in files.store.names() if not name.startswith("part-")]
        version = files.writer.next_version(numbered)
        salt = secrets.randbelow(ATTEMPTS)
        job = _SealJob(location, set_id, registry.vault_id(), version, salt, declared.name, sent)
        sealed, counts = decoded(for_each_partition(frame, functools.partial(_sealed, job)))
        # This also deletes what tasks wrote that ran more than once.
        current = finish_set(parts, files, declared, set_id, sealed)
    rows = current.manifest.contents.rows
    return SealedSet(location, set_id, current.sha256, rows, counts["quarantined"])


@dataclass(frozen=True, slots=True)
class _SealJob:
    """The facts that executors are told: no key, no credential and no value."""

    location: str
    set_id: uuid.UUID
    vault_id: uuid.UUID
    version: int
    salt: int
    event: EventName
    sent: dt.date | None


class _FrameRecords:
    """The rows of a partition as numbered records: its number, and the position of the row in it."""

    def __init__(self, batches: Iterable[Any], number: int, required: Sequence[str]) -> None:
        self._batches = batches
        self._last = number * _ROWS_OF_A_PARTITION
        self._required = required

    def pieces(self) -> Iterator[Records]:
        for batch in self._batches:
            records = [record_of(row, self._required) for row in rows_of(batch)]
            yield list(enumerate(records, self._last + 1))
            self._last += len(records)

    def reached(self) -> Reached:
        return Reached(self._last)


class _Registry:
    """The driver records the set when all of its parts are there."""

    def record(self, *_: object) -> None:
        """Record nothing."""


class _Progress:
    """Spark shows which tasks have ended."""

    def advance(self, *_: object, **__: object) -> None:
        """Show nothing."""


def _sealed(job: _SealJob, number: int, batches: Iterable[Any]) -> bytes:
    """Seal one partition. Runs on an executor, and returns what it wrote."""
    vault = process_vault()
    parts = vault.parts
    event = parts.declaration.event(job.event)
    parser = file_parser(parts.declaration, job.event)
    marks = set_marks(job.vault_id, job.set_id, job.event, digest_of(parts.declaration))
    mark = mark_of(job.version, attempt(job.salt))

    def name(part: int) -> str:
        if part > MAX_PARTS:
            message = f"a partition of the frame has more than {MAX_PARTS} parts"
            raise DataError(message, hint="give the frame more partitions: frame.repartition(…)")
        return rewritten_part_name(number * MAX_PARTS + part, mark)

    with tempfile.TemporaryDirectory(prefix="vault-etl-spark-") as folder:
        sealer = LeasedSealer(event, vault.ring, vault.leases)
        seal_parts = SealParts(
            set_id=job.set_id,
            event=event,
            parser=parser,
            sent=job.sent,
            strict=parts.settings.strict,
            registry=_Registry(),
            quarantine=VaultQuarantine(batch_writer(parts, parser)),
            store=archive_store(parts, job.location),
            folder=Path(folder),
            new_part=lambda: PartOfRows(sealer, marks),
            part_bytes=PART_BYTES,
            progress=_Progress(),
            name=name,
        )
        records = _FrameRecords(batches, number, required_columns(event))
        sealed, counts = seal_parts(records, ())
    return encoded(sealed, quarantined=counts.quarantined)
