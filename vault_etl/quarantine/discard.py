"""Delete quarantined messages, on the record: in batches, each with its entries in one transaction."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.signing import CheckpointStore, HeadSigner, sign_and_keep
from vault_etl.base.errors import AuditError, VaultEtlError
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.read import QuarantineFilter


@dataclass(frozen=True, slots=True)
class Matching:
    """The quarantined messages that would be discarded."""

    messages: int
    oldest: dt.datetime | None
    newest: dt.datetime | None
    until: dt.datetime | None = None
    """What was quarantined from then on was not counted: as asked, or by the database's clock; None: all was."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A batch that is gone, and the outcome of its entry. `newest`: when its last message was quarantined."""

    messages: int
    newest: dt.datetime
    head: Head


class QuarantineDiscarder(Protocol):
    """May delete quarantined messages, each batch in one transaction with its entries, and read none.

    Not one whose body was erased: its row stays.
    """

    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> Matching:
        """Count what `discard` would delete now; of these ids, or of all."""

    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        """Delete the oldest thousand of them at most, and commit it; None if nothing matches."""


class DiscardQuarantine:
    """Safe to interrupt and to run again: a batch is gone and on the record, or neither."""

    def __init__(
        self,
        discarder: QuarantineDiscarder,
        checkpoints: CheckpointStore,
        signer: HeadSigner,
        keep: Callable[[Checkpoint], None],
        progress: Progress,
    ) -> None:
        self._discarder = discarder
        self._checkpoints = checkpoints
        self._signer = signer
        self._keep = keep
        self._progress = progress

    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> Matching:
        """Count what would be discarded now, and change nothing."""
        return self._discarder.matching(wanted, record_ids)

    def __call__(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> int:
        """Discard all that match; how many. Each batch is a request of its own in the log.

        Raises AuditError if the head of the log cannot be signed in the end: what is discarded is
        discarded, and on the record.
        """
        discarded, head = 0, None
        while batch := self._discarder.discard(request, wanted, record_ids):
            discarded += batch.messages
            head = batch.head
            self._progress.advance(batch.messages)
            request = dataclasses.replace(request, request_id=uuid.uuid4())
            if record_ids is None:  # the next batch does not look again at what is older
                wanted = dataclasses.replace(wanted, since=batch.newest)
        if head is not None:
            self._sign(head)
        return discarded

    def _sign(self, head: Head) -> None:
        try:
            sign_and_keep(head, self._checkpoints, self._signer, self._keep)
        except VaultEtlError as error:
            message = f"the head of the audit log could not be signed: {error}"
            raise AuditError(
                message,
                hint="the messages are gone and on the record; `vault-etl audit checkpoint` signs the log",
            ) from None
