"""Erase a record or a user: the request, its result, and the certificate."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.signing import CheckpointStore, HeadSigner, sign_and_keep
from vault_etl.base.errors import AuditError, NotFoundError, VaultEtlError
from vault_etl.records.unattached_months import (
    Months,
    UnattachedMonth,
    no_record_of_user,
    no_such_record,
)

NOT_ERASED: Final = (
    "the user's id and the other plain columns; entries of the audit log",
    "quarantined messages of the user: they are erased by their own ids",
    "messages still on a queue, in the dead-letter queue, or on their way",
    "rows of other tables, and those of months detached by hand",
    "archives of months and sets: those named above, and copies of any",
    "a set, by the id of a record; sets that are not on the record",
    "old versions of the rows in the tables' files, until VACUUM has run",
    "the write-ahead log and its archive, replicas that lag, every backup",
    "what subscribers and lakes keep of the changes that they got",
)
"""Data that no erasure reaches, as every certificate lists it (docs/how-to/erase.md)."""


@dataclass(frozen=True, slots=True)
class RecordTarget:
    """A record, and the quarantined message of the same id."""

    record_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class UserTarget:
    """All records of a user."""

    user_id: str


Target = RecordTarget | UserTarget


@dataclass(frozen=True, slots=True)
class Erasable:
    """The data that an erasure would remove now: personal fields of records, and quarantined bodies.

    `archives` maps each month whose archive holds some of it, or may, to the archive's place, and of a user each set by
    its id. `lake erase` removes it.
    """

    records: int
    bodies: int
    archives: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The counts of an erasure, the archives that still hold values, its time, and its outcome in the audit log."""

    records: int
    bodies: int
    archives: Mapping[str, str]
    erased_at: dt.datetime
    seq: int
    hash: bytes


class Eraser(Protocol):
    """Removes tokens, ciphertexts and quarantined bodies, and reads none of them."""

    def preview(self, target: Target) -> Erasable | None:
        """Count the data to erase. None if there is no such record or user, and no archive may hold one."""

    def erase(self, request: AuditRequest, target: Target) -> Erasure | None:
        """Erase the target and commit, with the intent and the outcome.

        Without such a target, erase returns None and writes no entry.

        The same commit records the erasure for each archive and set that holds values, or may.

        Raises UnavailableError or DeniedError. Then nothing was erased, or the result is not known:
        erasing again is safe.
        """


@dataclass(frozen=True, slots=True)
class Certificate:
    """The result of an erasure, and the signed head of the log at its entry.

    `checkpoint` is None while no key is registered, and when signing failed: `unsigned` says why.
    """

    erasure: Erasure
    checkpoint: Checkpoint | None
    unsigned: AuditError | None = None


class Erase:
    """Erases in one transaction with its entries, then signs the log. `keep` gets the checkpoint."""

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
        """Count the data to erase, and change nothing. Raises NotFoundError."""
        found = self._eraser.preview(target)
        if found is None:
            raise self._not_found(target)
        return found

    def __call__(self, request: AuditRequest, target: Target) -> Certificate:
        """Erase the target. A second erasure removes nothing more, and is on the record too.

        Raises NotFoundError, DeniedError or UnavailableError. Then nothing was erased, or the answer to
        the commit was lost and the result is not known.
        """
        erasure = self._eraser.erase(request, target)
        if erasure is None:
            raise self._not_found(target)
        try:
            return Certificate(erasure, self._signed(Head(erasure.seq, erasure.hash)))
        except VaultEtlError as error:
            # The erasure is committed: the certificate says so, without the signature.
            unsigned = AuditError(
                f"the head of the audit log could not be signed: {error}",
                hint="the erasure is done and on the record; `vault-etl audit checkpoint` signs the log",
            )
            return Certificate(erasure, None, unsigned)

    def _signed(self, head: Head) -> Checkpoint | None:
        return sign_and_keep(head, self._checkpoints, self._signer, self._keep)

    def unreached_months(self) -> Sequence[UnattachedMonth]:
        """Months that no erasure reaches, because they were detached by hand and are not on the record."""
        return [
            month for month in self._months.unattached() if month.has_rows and month.since is None
        ]

    def _not_found(self, target: Target) -> NotFoundError:
        if isinstance(target, RecordTarget):
            hint = "the id is that of a record or a quarantined message"
            return no_such_record(self._months, target.record_id, hint)
        return no_record_of_user(self.unreached_months())
