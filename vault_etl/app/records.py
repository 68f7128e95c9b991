"""Records: batches that are written, months that are not attached, and erasure."""

from __future__ import annotations

import uuid

from vault_etl.app.audit import head_signer, keep_checkpoint
from vault_etl.app.catalogue import must_be_in_force
from vault_etl.app.keys import leases, ring
from vault_etl.app.parts import Parts
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
from vault_etl.base.errors import ConfigurationError
from vault_etl.erase.erase import Erase
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.event.events import EventParser
from vault_etl.records.postgres import PostgresMonths, PostgresRecordLoader
from vault_etl.records.unattached_months import Months
from vault_etl.records.write_batch import BatchWriter


def batch_writer(
    parts: Parts, parser: EventParser | None = None, *, strict: bool = False
) -> BatchWriter:
    """Build the writer of batches of messages. Without a parser, their content alone says of which event they are.

    It keeps keys for one lease.
    """
    must_be_in_force(parts, may_be_before=True)
    settings = parts.settings
    return BatchWriter(
        PostgresRecordLoader(parts.database, parts.declaration),
        ring(parts, max_seconds=settings.lease_hours * 3600),
        leases(parts),
        parts.clock,
        parser or EventParser(parts.declaration),
        strict=strict or settings.strict,
    )


def queue_parser(parts: Parts, queue: str | None) -> EventParser:
    """The parser of messages of this queue. Raises ConfigurationError if no event takes them."""
    parser = EventParser(parts.declaration, queue)
    if not parser.events:
        message = f"no event of the declaration takes messages of the queue {queue}"
        raise ConfigurationError(
            message, hint="give an event this queue, or none: `vault-etl schema show` lists them"
        )
    return parser


def months(parts: Parts) -> Months:
    """The months that a query of the table does not see, as the server that `parts.reads` chose has them."""
    return PostgresMonths(parts.reads)


def erase(parts: Parts, request_id: uuid.UUID) -> Erase:
    """Build `erase`."""
    must_be_in_force(parts)
    return Erase(
        PostgresEraser(parts.database),
        PostgresCheckpoints(parts.database),
        head_signer(parts, request_id),
        keep_checkpoint,
        months(parts),
    )
