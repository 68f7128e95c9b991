"""The writer of batches of messages, for `ingest` and for Lambda."""

from __future__ import annotations

from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.keys import leases
from vault_etl.app.parts import Parts
from vault_etl.base.errors import ConfigurationError
from vault_etl.event.events import EventParser
from vault_etl.records.postgres import PostgresRecordLoader
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
