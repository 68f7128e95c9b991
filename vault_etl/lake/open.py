"""Open the parts of a set, on the record: intent, KMS, outcome, and only then a file or output with plaintext."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vault_etl.archives.sets import CurrentSet, SetStore
from vault_etl.audit.entries import MAX_OPENED_ROWS, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import ConfigurationError
from vault_etl.lake.entries import part_request
from vault_etl.platform.clock import Progress

if TYPE_CHECKING:
    from vault_etl.lake.parquet_opening import OpenedBatch


class OpenedPart(Protocol):
    """The plaintext of one part, which no other process sees until it is kept."""

    def add(self, rows: OpenedBatch) -> None:
        """Store more rows. Raises UnavailableError if the disk is full."""

    def end(self) -> None:
        """Store the end of the rows, so that nothing is left to do that could fail for want of room."""

    def keep(self, receipt: AuditReceipt) -> None:
        """Show the rows: their outcome is committed, and the log is signed."""


class OpenedParts(Protocol):
    """The target of the plaintext: a folder, or standard output."""

    def has(self, at: int) -> bool:
        """Tell whether an earlier run has opened the part at this index for the same request."""

    def part(self, at: int) -> AbstractContextManager[OpenedPart]:
        """Begin a part. What is not kept in the block is deleted after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSet:
    """Opens a set for `lake open`: each part is an access of its own, of as many rows as it has."""

    audit: AuditLog
    store: SetStore
    check: Callable[[Path], None]
    """Raises DataError for a file whose rows are not as many as the manifest says: so many are on the record."""
    batches: Callable[[Opener, Path], Iterable[OpenedBatch]]
    progress: Progress

    def left(self, current: CurrentSet, to: OpenedParts) -> list[int]:
        """Return the indices of the parts that are still to be opened."""
        return [at for at in range(len(current.manifest.parts)) if not to.has(at)]

    def __call__(
        self, request: AuditRequest, current: CurrentSet, parts: Iterable[int], to: OpenedParts
    ) -> None:
        """Open these parts, by their indices. A file is checked before its intent.

        Raises PolicyDeniedError before a part is read, AuditError if the log could not be written or signed,
        IntegrityError if a value does not open: then nothing of its part is kept. The parts before it are.
        """
        for at in parts:
            part = current.manifest.parts[at]
            if part.rows > MAX_OPENED_ROWS:
                message = f"{part.name} has {part.rows} rows, and an entry is about {MAX_OPENED_ROWS} at most"
                raise ConfigurationError(
                    message, hint="another program made the set: no command opens it"
                )
            of_part = part_request(request, current, at, amount=part.rows)
            with self.store.part(part) as path, to.part(at) as opened:
                self.check(path)
                with audited(self.audit, of_part) as receipt:
                    for rows in self.batches(Opener(receipt), path):
                        opened.add(rows)
                    opened.end()
                opened.keep(receipt)
            self.progress.advance(part.rows, part=part.name)
