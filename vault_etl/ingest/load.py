"""Load lines into Postgres in the thread of the caller: the plain loop, without the engine of `run.py`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.ingest.writer import Writer
from vault_etl.records.messages import Outcome


@dataclass(slots=True)
class LoadedLines:
    """Counts of the lines that are committed."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    extra_fields: ExtraFields = field(default_factory=ExtraFields)
    """Unknown fields that were dropped."""

    @property
    def received(self) -> int:
        """All lines."""
        return self.outcomes.total()

    @property
    def stored(self) -> int:
        """Lines that are new records."""
        return self.outcomes[Outcome.STORED]

    @property
    def duplicates(self) -> int:
        """Lines that were records before."""
        return self.outcomes[Outcome.DUPLICATE]

    @property
    def quarantined(self) -> int:
        """Lines that are no events."""
        return self.outcomes[Outcome.QUARANTINED]

    @property
    def already_quarantined(self) -> int:
        """Lines that were in the quarantine before."""
        return self.outcomes[Outcome.ALREADY_QUARANTINED]


def load(lines: LinesFile, writer: Writer, batch_size: int) -> LoadedLines:
    """Store or quarantine every line, in transactions of at most `batch_size` lines.

    Raises the errors of the content, of the source's check, and of a batch that could not be written. Batches before
    are committed; a second load of the same lines counts them as duplicates.
    """
    loaded = LoadedLines()
    while batch := lines.receive(0, batch_size):
        written = writer.write(batch)
        if written.cause is not None:
            raise written.cause
        lines.delete([message.receipt_handle for message in batch])
        loaded.outcomes.update(written.outcomes)
        loaded.extra_fields.merge(written.extra_fields)
    lines.depth()  # commits that the source is loaded to its end
    return loaded
