"""Discard quarantined messages, on the record: each batch is one transaction with its audit entries."""

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
class MatchingMessages:
    """The number and times of the messages that a discard would delete."""

    messages: int
    oldest: dt.datetime | None
    newest: dt.datetime | None
    until: dt.datetime | None = None
    """Messages quarantined at this time or later were not counted; None: no such limit was asked for."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A batch of deleted messages, and the outcome of its entry. `newest` is when the last was quarantined."""

    messages: int
    newest: dt.datetime
    head: Head


class QuarantineDiscarder(Protocol):
    """Deletes quarantined messages, each batch in one transaction with its entries. The caller may not read them.

    A row whose body was erased stays.
    """

    def matching(
        self, wanted: QuarantineFilter, record_ids: Sequence[uuid.UUID] | None
    ) -> MatchingMessages:
        """Count the messages, of these ids or all, that `discard` would delete now."""

    def discard(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> Discarded | None:
        """Delete at most the oldest thousand matching messages, and commit; return None if no message matches."""


class DiscardQuarantine:
    """Discards messages in batches. A run may be interrupted and repeated: a batch and its entry are one commit."""

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
    ) -> MatchingMessages:
        """Count the messages that would be discarded now, and change nothing."""
        return self._discarder.matching(wanted, record_ids)

    def __call__(
        self,
        request: AuditRequest,
        wanted: QuarantineFilter,
        record_ids: Sequence[uuid.UUID] | None,
    ) -> int:
        """Discard all matching messages, and return their number. Each batch is a request of its own in the log.

        Raises AuditError if the head of the log cannot be signed at the end: the discarded messages stay deleted,
        and are on the record.
        """
        discarded, head = 0, None
        while batch := self._discarder.discard(request, wanted, record_ids):
            discarded += batch.messages
            head = batch.head
            self._progress.advance(batch.messages)
            request = dataclasses.replace(request, request_id=uuid.uuid4())
            if record_ids is None:  # the next batch need not read older rows again
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
                hint="the messages are deleted and on the record; `vault-etl audit checkpoint` signs the log",
            ) from None
