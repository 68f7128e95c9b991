"""Forget the personal fields of a record or a user for good, and certify it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.checkpoints import CheckpointStore, HeadSigner
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.signed_log import sign_and_keep
from vault_etl.base.errors import AuditError, NotFoundError, VaultEtlError
from vault_etl.erase.erase import Erasable, Erasure, RecordTarget, Target
from vault_etl.erase.eraser import Eraser
from vault_etl.records.month_away import MonthAway
from vault_etl.records.months import Months
from vault_etl.records.months_away import no_record_of_user, no_such_record


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was erased, and the signed head of the log at that entry.

    `checkpoint` is None while no key is registered, and when signing failed: `unsigned` says why.
    """

    erasure: Erasure
    checkpoint: Checkpoint | None
    unsigned: AuditError | None = None


class Erase:
    """One transaction that erases and is on the record, then a signature. `keep` gets the checkpoint."""

    def __init__(
        self,
        eraser: Eraser,
        checkpoints: CheckpointStore,
        signer: HeadSigner,
        keep: Callable[[Checkpoint], None],
        months: Months,
    ) -> None:
        self._eraser = eraser
        self._checkpoints = checkpoints
        self._signer = signer
        self._keep = keep
        self._months = months

    def preview(self, target: Target) -> Erasable:
        """Count what there is to erase, and change nothing. Raises NotFoundError."""
        found = self._eraser.preview(target)
        if found is None:
            raise self._not_found(target)
        return found

    def __call__(self, request: AuditRequest, target: Target) -> Certificate:
        """Erase. A second time takes nothing more away, and is on the record too.

        Raises NotFoundError, DeniedError or UnavailableError: then nothing was erased, or, when the
        answer to the commit was lost, it is not known whether it was.
        """
        erasure = self._eraser.erase(request, target)
        if erasure is None:
            raise self._not_found(target)
        try:
            return Certificate(erasure, self._signed(Head(erasure.seq, erasure.hash)))
        except VaultEtlError as error:
            # What is erased is erased: the certificate says so, without the signature.
            unsigned = AuditError(
                f"the head of the audit log could not be signed: {error}",
                hint="it is erased and on the record; `vault-etl audit checkpoint` signs the log",
            )
            return Certificate(erasure, None, unsigned)

    def _signed(self, head: Head) -> Checkpoint | None:
        return sign_and_keep(head, self._checkpoints, self._signer, self._keep)

    def not_looked_at(self) -> Sequence[MonthAway]:
        """Months that no erasure reaches: those that were detached by hand, and so are not on the record."""
        return [month for month in self._months.away() if month.has_rows and month.since is None]

    def _not_found(self, target: Target) -> NotFoundError:
        if isinstance(target, RecordTarget):
            hint = "the id is that of a record or a quarantined message"
            return no_such_record(self._months, target.record_id, hint)
        return no_record_of_user(self.not_looked_at())
