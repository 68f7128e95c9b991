"""Rotate a set: executors seal its values again under new data keys, and make its tokens again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vault_etl.app.audit import audit_log
from vault_etl.app.lake_changes import needed_keys
from vault_etl.app.lake_places import at_place, find_set, sets
from vault_etl.app.partitions import TOOL
from vault_etl.archives.declared_event import event_of
from vault_etl.archives.manifest import Contents, part_number, rewritten_part_name
from vault_etl.archives.parquet_parts import ValueCounts
from vault_etl.archives.sets import mark_of
from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request, intended
from vault_etl.audit.opening import Opener
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import VaultEtlError
from vault_etl.lake.entries import must_leave_room, new_manifest, set_request
from vault_etl.lake.parquet_changes import PartReader, PartRotator
from vault_etl.lake.rotate import needs_rotation
from vault_etl.lake.seal import SealedPart, totals
from vault_etl.spark.parquet_jobs import attempt, for_each
from vault_etl.spark.parts import SetJob
from vault_etl.spark.process import process_vault
from vault_etl.spark.reports import decoded, encoded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class RotatedSet:
    """The version of the set that counts now, the SHA-256 of its manifest, and the parts that were written."""

    version: int
    manifest_sha256: bytes
    parts_written: int


def rotate(
    spark: SparkSession, place: str, *, reason: str, ticket: str | None = None
) -> RotatedSet:
    """Rotate the parts of a set that need it, as `vault-etl lake rotate` does, but as one version. It is eager.

    The driver commits the intent, and puts the new version on the record together with the outcome. Until then the
    old version counts. Driver and executors use one login of the role re-encrypt.

    Raises UsageError for a reason that is empty or too long, NotFoundError for a set that is not on the record,
    IncompleteError if another run changed it, AuditError, and the error of a task.
    """
    cleaned = clean_reason(reason)
    must_leave_room(cleaned)
    vault = process_vault()
    parts = vault.parts
    found = find_set(parts, place)
    with at_place(parts, found.location) as files:
        current = files.reader.read(found.must_be_on_record().manifest_sha256)
        event = event_of(current.manifest, parts.declaration)
        needed = needed_keys(parts, event)
        files.writer.clean(current.leftovers)
        if not needs_rotation(current.manifest, needed):
            return RotatedSet(current.manifest.version, current.sha256, 0)
        request = audit_request(
            parts.identity,
            Action.LAKE_ROTATE,
            cleaned,
            fields=event.fields,
            ticket=ticket,
        )
        log = audit_log(parts)
        with intended(log, set_request(request, current)) as receipt:
            version = files.writer.next_version(current.names)
            job = _RotateJob(found.location, current.sha256, receipt.seq, version)
            task = functools.partial(_rotated, job)
            written, counts = decoded(for_each(spark, len(current.manifest.parts), task))
            rows, keys, generations = totals(written)
            contents = Contents(rows, None, keys, generations)
            manifest = replace(
                current.manifest,
                version=version,
                parts=tuple(each.part for each in written),
                contents=contents,
                made_at=parts.clock.now(),
                tool=TOOL,
            )
            try:
                new = files.writer.commit(manifest, needed(contents))
            except BaseException:
                made = {each.part.name for each in written} - current.own_names
                with contextlib.suppress(VaultEtlError):
                    files.writer.clean(made)
                raise
            with files.writer.recorded(current, new):
                head = sets(parts).rotated(receipt, new_manifest(current, new))
        files.writer.clean(new.leftovers)
        log.sign(head)
    return RotatedSet(version, new.sha256, counts["written"])


@dataclass(frozen=True, slots=True)
class _RotateJob(SetJob):
    """The number of the committed intent, which executors take up, and the version that they write parts of."""

    seq: int
    version: int


def _rotated(job: _RotateJob, at: int) -> bytes:
    """Rotate one part, if it needs that. Runs on an executor, and returns the part that the new version has."""
    vault = process_vault()
    parts = vault.parts
    with job.part(at) as one:
        event = event_of(one.current.manifest, parts.declaration)
        needed = needed_keys(parts, event)
        contents = one.current.manifest.contents
        read = PartReader.of(one.current)
        read.check(one.path)
        tokenizer, _ = vault.ring.tokenizers()
        counts = ValueCounts()
        for batch in read(one.path):
            counts.add(batch)
        if not _needs_rotation(counts, needed.active(contents), tokenizer.generation):
            return encoded([SealedPart(one.part, counts.keys(), counts.generations())], written=0)
        held = vault.ring_of_set(job.manifest_sha256, lambda: needed(contents))
        opener = Opener(PostgresAuditLog(parts.database).resume(job.seq))
        change = PartRotator(read, event, held, vault.leases, tokenizer)
        name = rewritten_part_name(part_number(one.part.name), mark_of(job.version, attempt()))
        changed = change(opener, one.path, one.place.folder / name)
        one.place.writer.put(name, changed.written.path)
    return encoded([SealedPart(changed.written.part, *changed.new)], written=1)


def _needs_rotation(counts: ValueCounts, active: Collection[int], generation: int) -> bool:
    """Tell whether a part has a value under a key that is not active, or tokens of another generation."""
    return any(key.key_id not in active for key in counts.keys()) or any(  # noqa: SIM118 - of no mapping
        each.generation != generation for each in counts.generations()
    )
