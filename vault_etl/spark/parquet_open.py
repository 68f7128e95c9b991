"""Open a set into files of plaintext: intents, a job, outcomes."""

from __future__ import annotations

import contextlib
import functools
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.app import audit
from vault_etl.app.audit import LastCheckpoint, audit_log
from vault_etl.app.lake_places import at_place, find_set, version_that_counts
from vault_etl.app.partitions import archive_store
from vault_etl.archives.declared_event import event_of
from vault_etl.archives.manifest import Part, part_number
from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request, audited
from vault_etl.audit.opening import Opener
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import UsageError
from vault_etl.crypto.fields import FieldName
from vault_etl.lake.entries import must_leave_room, part_request
from vault_etl.lake.parquet_changes import PartOpener, PartReader
from vault_etl.lake.parquet_opened import ParquetFiles
from vault_etl.lake.seal import SealedPart
from vault_etl.platform.store import ArchiveStore, parse_location
from vault_etl.platform.store_folder import size_and_sha256
from vault_etl.reveal.reveal import must_be_within_quota
from vault_etl.spark.parquet_jobs import attempt, for_each
from vault_etl.spark.parts import SetJob
from vault_etl.spark.process import process_vault
from vault_etl.spark.reports import decoded, encoded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class OpenedSet:
    """The place of the plaintext, the names of its Parquet files, their rows, and the entries of the audit log."""

    location: str
    files: tuple[str, ...]
    rows: int
    audit_seqs: tuple[int, ...]


def open_set(
    spark: SparkSession,
    place: str,
    to: str,
    *,
    reason: str,
    fields: Sequence[str] = (),
    purpose: str | None = None,
    ticket: str | None = None,
) -> OpenedSet:
    """Open a set, or the archive of a month, into Parquet with plaintext at `to`, an empty place. It is eager.

    As `vault-etl lake open` does, the driver commits an intent for each part first, and its outcome when all parts are
    there. It returns after that; if anything fails, the plaintext is deleted. Driver and executors use one login of
    the role reveal. `fields` are all fields of the set, unless some are named.

    Raises UsageError for a reason that is empty or too long and for a place that is not empty, PolicyDeniedError,
    DeniedError beyond the quota, IntegrityError, AuditError, and the error of a task.
    """
    cleaned = clean_reason(reason)
    must_leave_room(cleaned)
    parts = process_vault().parts
    found = find_set(parts, place)
    target = archive_store(parts, parse_location(to, str(Path.cwd())))
    if target.names():
        message = f"{target.location} is not empty"
        raise UsageError(message, hint="name a new place for the plaintext")
    with at_place(parts, found.location) as files:
        current, _ = version_that_counts(parts, found, files)
    known = [value.field.name for value in event_of(current.manifest, parts.declaration).personal]
    if unknown := [name for name in fields if name not in known]:
        message = f"the set has no field {', '.join(unknown)}"
        raise UsageError(message, hint=f"it has {', '.join(dict.fromkeys(known))}")
    wanted = tuple(FieldName(name) for name in dict.fromkeys(fields or known))
    request = audit_request(
        parts.identity, Action.LAKE_OPEN, cleaned, fields=wanted, purpose=purpose, ticket=ticket
    )
    audit.check_role(parts, "vault_etl_reveal")
    rows = current.manifest.contents.rows
    if rows:
        quota = audit.policy(parts).allowance().accesses
        must_be_within_quota(
            rows, quota, fewer="`vault-etl lake open --limit` opens the first parts"
        )
    mark = secrets.token_hex(4)
    try:
        with LastCheckpoint() as keep, contextlib.ExitStack() as entries:
            log = audit_log(parts, keep=keep)
            seqs = tuple(
                entries.enter_context(
                    audited(log, part_request(request, current, at, amount=part.rows))
                ).seq
                for at, part in enumerate(current.manifest.parts)
            )
            job = _OpenJob(found.location, current.sha256, target.location, mark, wanted, seqs)
            written, _ = decoded(for_each(spark, len(seqs), functools.partial(_opened, job)))
            made = tuple(each.part.name for each in written)
        _delete(target, mark, keep=made)  # no attempt takes up an intent that has an outcome
    except BaseException:
        _delete(target, mark)
        raise
    return OpenedSet(target.location, made, rows, seqs)


def _delete(target: ArchiveStore, mark: str, keep: Sequence[str] = ()) -> None:
    """Delete what attempts of this job wrote that do not count, or all that it wrote."""
    for name in target.names():
        if mark in name and name not in keep:
            target.delete(name)


@dataclass(frozen=True, slots=True)
class _OpenJob(SetJob):
    """The place of the plaintext, the mark in its names, its fields, and the numbers of the intents, one a part."""

    target: str
    mark: str
    fields: tuple[FieldName, ...]
    seqs: tuple[int, ...]


def _opened(job: _OpenJob, at: int) -> bytes:
    """Open one part. Runs on an executor, against the intent of this part.

    The file has no name until it is in its place: a process that is killed leaves nothing on its machine.
    """
    vault = process_vault()
    with job.part(at) as one, tempfile.TemporaryFile() as file:
        manifest = one.current.manifest
        keys = vault.ring_of_set(job.manifest_sha256, lambda: one.place.reader.keys(one.current))
        log = PostgresAuditLog(vault.parts.database)
        opener = Opener(log.resume(job.seqs[at]))
        read = PartReader.of(one.current)
        read.check(one.path)
        opened = PartOpener(read, event_of(manifest, vault.parts.declaration), job.fields, keys)
        writer = ParquetFiles().writer(file)
        for rows in opened(opener, one.path):
            writer.add(rows)
        writer.close()
        file.flush()
        name = f"part-{part_number(one.part.name):05}-{job.mark}-{attempt()}.parquet"
        path = Path(f"/dev/fd/{file.fileno()}")
        log.resume(job.seqs[at])  # the job may have ended without this attempt
        archive_store(vault.parts, job.target).put(name, path)
        size, digest = size_and_sha256(path)
    return encoded([SealedPart(Part(name, one.part.rows, size, digest), (), ())])
