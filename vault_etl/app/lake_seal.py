"""`lake seal`: from sources to a set on the record."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from vault_etl.app.batches import batch_writer
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.ingest import events_of_file, file_parser
from vault_etl.app.key_ring import key_store, ring, unwrapper
from vault_etl.app.keys import leases
from vault_etl.app.lake_places import at_place, must_be_free, sets
from vault_etl.app.lake_sources import SourceReader
from vault_etl.app.partitions import TOOL, Place, need_parquet
from vault_etl.app.parts import Parts
from vault_etl.archives.sets import CurrentSet
from vault_etl.base.errors import DataError, UsageError
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.dry_run import Judgement
from vault_etl.keys.init import open_source_key
from vault_etl.keys.unwrap import ProvenUnwrapper
from vault_etl.lake.finish import FinishSet
from vault_etl.lake.killed_seal import KilledSeal
from vault_etl.lake.seal import Quarantine, Sealed, SealedPart, SealParts
from vault_etl.lake.sealed_mark import SealedMarks
from vault_etl.lake.source_records import SourceRecords
from vault_etl.platform.clock import Progress
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import BatchWriter

PART_BYTES: Final = 64 * 2**20
"""Bytes of the rows of a part in memory; its file is a little smaller."""


@dataclass(frozen=True, slots=True)
class FilesToSeal:
    """The files to seal, and how strictly they are read."""

    paths: Sequence[str]
    event: DeclaredEvent
    sent: dt.date | None = None
    keep_going: bool = False
    strict: bool = False

    def readers(self, declaration: Declaration) -> list[SourceReader]:
        """Return the readers of the files, in their order."""
        names = KnownNames.of(events_of_file(declaration, self.event.name))
        return [
            SourceReader(path, self.event, names, self.keep_going, self.strict)
            for path in self.paths
        ]


def event_of_set(declaration: Declaration, name: str | None) -> DeclaredEvent:
    """The event of a new set: the one of this name, or the only one. Raises UsageError."""
    if name is not None:
        return events_of_file(declaration, name).events[0]
    if len(declaration.active_events) != 1:
        message = "a set has records of one event, and this vault has several"
        raise UsageError(message, hint="--event names the event")
    return declaration.active_events[0]


def seal(
    parts: Parts,
    sources: FilesToSeal,
    location: str,
    progress: Progress,
    part_bytes: int = PART_BYTES,
) -> tuple[CurrentSet, Sealed]:
    """Seal the sources into a set at this location, or continue a run that was killed.

    Raises UsageError if a finished set is there, OtherContentError if the killed run had other sources, and the errors
    of the sources, of Postgres, KMS and the place.
    """
    need_parquet()
    from vault_etl.archives.parquet_parts import set_marks  # noqa: PLC0415
    from vault_etl.lake.parquet_seal import LeasedSealer, PartOfRows, sealed_part  # noqa: PLC0415

    must_be_in_force(parts)
    event, declaration = sources.event, parts.declaration
    parser = file_parser(declaration, event.name)
    writer = batch_writer(parts, parser, strict=sources.strict)
    writer.prepare()  # missing keys and a KMS that cannot be trusted show before the set is begun
    source_key = open_source_key(
        key_store(parts), ProvenUnwrapper(unwrapper(parts), parts.kms_proof)
    )
    registry = sets(parts)
    with at_place(parts, location) as place:
        must_be_free(parts, place)
        set_id = registry.begin(event.name, location)
        marks = set_marks(registry.vault_id(), set_id, event.name, digest_of(declaration))
        sealed_marks = SealedMarks(source_key, set_id)
        killed = KilledSeal(
            place.store, place.folder, sealed_marks, lambda path: sealed_part(path, event, marks)
        )
        before, reached = killed.parts()
        records = SourceRecords(sources.readers(declaration), source_key, reached)
        sealer = LeasedSealer(event, ring(parts), leases(parts))
        work = SealParts(
            set_id=set_id,
            event=event,
            parser=parser,
            sent=sources.sent,
            strict=sources.strict,
            registry=registry,
            quarantine=VaultQuarantine(writer),
            store=place.store,
            marks=sealed_marks,
            folder=place.folder,
            new_part=lambda: PartOfRows(sealer, marks),
            part_bytes=part_bytes,
            progress=progress,
        )
        sealed, counts = work(records, before)
        return finish_set(parts, place, event, set_id, sealed), counts


def finish_set(
    parts: Parts,
    place: Place,
    event: DeclaredEvent,
    set_id: uuid.UUID,
    sealed: Sequence[SealedPart],
) -> CurrentSet:
    """Sign the parts of a new set, and record it. Raises DataError without parts, and what `FinishSet` raises."""
    from vault_etl.archives.parquet_layout import columns_of_set  # noqa: PLC0415

    if not sealed:
        message = "no record is an event: there is no set"
        raise DataError(message, hint="`vault-etl quarantine list` shows the reasons")
    registry = sets(parts)
    finish = FinishSet(
        vault_id=registry.vault_id(),
        set_id=set_id,
        event=event,
        declaration_sha256=digest_of(parts.declaration),
        columns=columns_of_set(event),
        keys=key_store(parts),
        store=place.store,
        writer=place.writer,
        registry=registry,
        now=parts.clock.now,
        tool=TOOL,
    )
    return finish(sealed)


def judge(declaration: Declaration, sources: FilesToSeal, progress: Progress) -> Judgement:
    """Count the events of the sources, and the other records by reason. Needs no database and no AWS."""
    judgement = Judgement(file_parser(declaration, sources.event.name))
    for read in sources.readers(declaration):
        for piece in read():
            judgement.add(piece, sources.sent, strict=sources.strict)
            progress.advance(len(piece))
    return judgement


class VaultQuarantine(Quarantine):
    """Quarantines records through the writer of ingest, which finds them rejected as we did."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer

    @override
    def __call__(self, messages: Sequence[Message]) -> int:
        done = self._writer.write(messages)
        if done.cause is not None:
            raise done.cause
        return done.outcomes.count(Outcome.QUARANTINED)
