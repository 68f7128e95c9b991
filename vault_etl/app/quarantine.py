"""Quarantine: the commands `quarantine list`, `show`, `retry` and `discard`."""

from __future__ import annotations

import uuid

from vault_etl.app.audit import Keep, audit_log, head_signer, keep_checkpoint
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.keys import leases, value_keys
from vault_etl.app.parts import Parts
from vault_etl.app.records import months
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
from vault_etl.event.events import EventParser
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.discard import DiscardQuarantine
from vault_etl.quarantine.postgres import (
    PostgresQuarantineDiscarder,
    PostgresQuarantineMover,
    PostgresQuarantineReader,
)
from vault_etl.quarantine.read import QuarantineReader, ShowQuarantined
from vault_etl.quarantine.retry import QuarantineRetry
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.reveal.postgres import PostgresDisclosedValues


def reader(parts: Parts) -> QuarantineReader:
    """Build `quarantine list`, and the counts that the question before a retry shows."""
    return PostgresQuarantineReader(parts.reads)


def show(parts: Parts, request_id: uuid.UUID, keep: Keep | None = None) -> ShowQuarantined:
    """Build `quarantine show`. KMS is asked for each message, with the request id in the user agent."""
    must_be_in_force(parts)
    return ShowQuarantined(
        audit_log(parts, request_id, keep),
        PostgresDisclosedValues(parts.database),
        reader(parts),
        ring(parts, request_id),
    )


def retry(parts: Parts, progress: Progress, request_id: uuid.UUID) -> QuarantineRetry:
    """Build `quarantine retry`."""
    must_be_in_force(parts)
    keys = ring(parts, request_id)
    return QuarantineRetry(
        audit=audit_log(parts, request_id),
        mover=PostgresQuarantineMover(parts.database, parts.declaration),
        partitions=PostgresRecordLoader(parts.database, parts.declaration),
        ring=keys,
        value_keys=value_keys(parts, keys, request_id),
        leases=leases(parts),
        clock=parts.clock,
        progress=progress,
        months=months(parts),
        parser_of=lambda queue, of_line: EventParser.of_quarantined(
            parts.declaration, queue, of_line=of_line
        ),
    )


def discard(parts: Parts, progress: Progress, request_id: uuid.UUID) -> DiscardQuarantine:
    """Build `quarantine discard`."""
    return DiscardQuarantine(
        PostgresQuarantineDiscarder(parts.database),
        PostgresCheckpoints(parts.database),
        head_signer(parts, request_id),
        keep_checkpoint,
        progress,
    )
