"""The audit log: an intent before the work, an outcome after it, and the entries for reading."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.base.errors import (
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.crypto.fields import FieldName


class AuditLog(Protocol):
    """Writes entries; each is committed when the call returns."""

    def intend(self, request: AuditRequest) -> AuditReceipt:
        """Commit the intent. Raises AuditError if the commit is not certain.

        Raises RateLimitedError for too many entries in too short a time: then nothing is committed.
        Raises PolicyDeniedError if the reveal policy denies it: then the denied intent is committed.
        """

    def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
        """Commit the outcome: done, or failed with a code. Raises AuditError if the commit is not certain.

        Its reason is `receipt.outcome`, or else the intent's.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry of a listing."""

    seq: int
    logged_at: dt.datetime
    request_id: uuid.UUID
    phase: str
    login: str
    client_address: str | None
    actor: str
    host: str
    action: str
    record_id: uuid.UUID | None
    fields: tuple[str, ...]
    purpose: str | None
    ticket: str | None
    reason: str
    decision: str
    error_code: str | None
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """A filter for listings: an entry must match every part that is not None."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """The listed entries were logged before this moment."""
    record_id: uuid.UUID | None = None
    field: str | None = None
    action: str | None = None
    ticket: str | None = None
    actor: str | None = None
    """The actor's ARN, or the database login."""


EVERY_ENTRY: Final = AuditFilter()


@dataclass(frozen=True, slots=True)
class LastTrimmed:
    """The newest entry that is in a segment and no longer in the log, and its time."""

    seq: int
    logged_at: dt.datetime


class EntriesAboutRecord(Protocol):
    """May read the entries about a record, against a committed intent to reveal it."""

    def entries_about(self, receipt: AuditReceipt) -> Sequence[AuditEntry]:
        """Return every entry about the intent's record, the oldest first. Raises DeniedError as a disclosure does."""

    def last_trimmed(self) -> LastTrimmed | None:
        """Return the newest entry that was trimmed from the log; None if nothing was ever trimmed."""


class AuditReader(Protocol):
    """May read the log."""

    def entries(
        self, wanted: AuditFilter = EVERY_ENTRY, *, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        """Stream the entries in the order of `seq`; with `limit`, only that many, the newest."""

    def last_trimmed(self) -> LastTrimmed | None:
        """Return the newest entry that was trimmed from the log; None if nothing was ever trimmed."""


class Identity(Protocol):
    """Names the caller as AWS knows it."""

    def actor(self) -> str:
        """Return the ARN of the caller (sts:GetCallerIdentity)."""

    def host(self) -> str:
        """Return the name of this machine."""


@contextlib.contextmanager
def audited(audit: AuditLog, request: AuditRequest) -> Iterator[AuditReceipt]:
    """Commit the intent, run the block, commit the outcome.

    When the block raises, a failed outcome is committed and the error propagates. Raises AuditError
    if an entry is not certain to be committed, or the head is not signed (`SignedLog`): then nothing
    may be shown. Raises PolicyDeniedError, before the block, if the policy denies the intent. A process
    killed in between leaves an intent without an outcome, which reads as "possibly revealed".

    After the block, the receipt has the checkpoint that the person keeps.
    """
    with intended(audit, request) as receipt:
        yield receipt
    audit.conclude(receipt)


@contextlib.contextmanager
def intended(audit: AuditLog, request: AuditRequest) -> Iterator[AuditReceipt]:
    """Commit the intent and run the block, which commits the outcome itself, together with its change.

    When the block raises, a failed outcome is committed and the error propagates, as in `audited`.
    """
    receipt = audit.intend(request)
    try:
        yield receipt
    except BaseException as error:
        audit.conclude(receipt, _error_code(error))
        raise


def _error_code(error: BaseException) -> str:
    """Return a word for the log: the text of an error could contain too much."""
    codes: tuple[tuple[type[BaseException], str], ...] = (
        (IntegrityError, "integrity"),
        (NotFoundError, "not_found"),
        (KeyUnavailableError, "key_unavailable"),
        (UnusableKeyError, "key_unavailable"),
        (DeniedError, "denied"),
        (UnavailableError, "unavailable"),
        (VaultEtlError, "failed"),
        (KeyboardInterrupt, "interrupted"),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), "bug")


def audit_request(
    identity: Identity,
    action: Action,
    reason: str,
    *,
    record_id: uuid.UUID | None = None,
    fields: tuple[FieldName, ...] = (),
    purpose: str | None = None,
    ticket: str | None = None,
    amount: int | None = None,
) -> AuditRequest:
    """Build a request under a new id. No flag and no setting names the actor: `identity` does."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=action,
        actor=identity.actor(),
        host=identity.host(),
        reason=reason,
        record_id=record_id,
        fields=fields,
        purpose=purpose,
        ticket=ticket,
        amount=amount,
    )
