"""Reveal the personal fields of records, on the record; a record that fails does not stop a batch."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import DisclosedValue, DisclosedValues, Opener
from vault_etl.audit.policy import Quota
from vault_etl.base.errors import (
    DataError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    UnattachedMonthError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.model import Declaration
from vault_etl.keys.ring import KeyRing
from vault_etl.records.unattached_months import Months, no_such_record


@dataclass(frozen=True, slots=True)
class Revealed:
    """The values of a record by their names in its event, masked if the request asks for it. An erased value is None.

    `receipt` is of the intent, and has the checkpoint of the outcome.
    """

    event: EventName
    record_id: uuid.UUID
    subject: str | None
    day: dt.date | None
    values: Mapping[str, Pii | None]
    receipt: AuditReceipt


class Reveal:
    """Reveals a record: intent, disclosure, KMS, outcome. Nothing is returned before the outcome is committed.

    The database decides about the intent, by role, policy and quota: `audit_denial` and `audit_intent`
    (migrations/0009_policy.sql, 0015_access.sql).
    """

    def __init__(
        self,
        audit: AuditLog,
        disclosed: DisclosedValues,
        ring: KeyRing,
        months: Months,
        declaration: Declaration,
    ) -> None:
        self._audit = audit
        self._disclosed = disclosed
        self._ring = ring
        self._months = months
        self._declaration = declaration
        self._forms: Mapping[tuple[EventName, str], Sequence[str | None]] = {
            (event.name, value.name): [derived for _, derived in value.token_names]
            for event in declaration.events
            for value in event.personal
        }

    def __call__(self, request: AuditRequest) -> Revealed:
        """Return `request.fields` of `request.record_id`.

        Raises AuditError if the log could not be written or signed, PolicyDeniedError before the record is read,
        NotFoundError (UnattachedMonthError if its month is unattached), IntegrityError if one field does not open (then
        no field is returned), KeyUnavailableError, UnavailableError.
        """
        with audited(self._audit, request) as receipt:
            stored = self._disclosed.disclose(receipt)
            if request.record_id is None or not stored:
                events = " or ".join(event.name for event in self._declaration.events)
                hint = f"the id is the record_id of {events}"
                raise no_such_record(self._months, request.record_id, hint)
            in_order = sorted(stored.items(), key=lambda one: request.fields.index(one[1].field))
            values = {
                name: self._shown(
                    request, one, self._open(Opener(receipt), request.record_id, name, one)
                )
                for name, one in in_order
            }
        some = next(iter(stored.values()))
        return Revealed(some.event, request.record_id, some.subject, some.day, values, receipt)

    def _open(
        self, opener: Opener, record_id: uuid.UUID, name: str, stored: DisclosedValue
    ) -> Pii | None:
        if stored.ciphertext is None:
            return None
        key = self._ring.data_key(Ciphertext.parse(stored.ciphertext).key_id, stored.field)
        place = ValuePlace(stored.event, name, stored.field, record_id, stored.subject or "")
        value = opener.open(stored.ciphertext, place, key)
        self._check_tokens(name, stored, value)
        return value

    def _check_tokens(self, name: str, stored: DisclosedValue, value: Pii) -> None:
        """Raise IntegrityError unless the tokens of the value are the row's: a token may be moved or forged as well.

        Only this field's token key is used: a caller who may open one field need not hold the keys of the others.
        """
        tokenizer = self._ring.field_tokenizer(stored.field, stored.token_generation)
        # A value without a token was not sealed by this program; it fails in the same way, outside the handler.
        with contextlib.suppress(ValueError):
            tokens = (
                tokenizer.token(value, derived) for derived in self._forms[stored.event, name]
            )
            if tuple(tokens) == stored.tokens:
                return
        raise IntegrityError

    def _shown(
        self, request: AuditRequest, stored: DisclosedValue, value: Pii | None
    ) -> Pii | None:
        """Mask the value if the request asks for masked values, so that the full value is never returned."""
        if value is None or request.action is not Action.REVEAL_MASKED:
            return value
        return self._declaration.field(stored.field).kind.masked(value)


RecordError = NotFoundError | IntegrityError | UnusableKeyError
"""Errors of one record, which do not concern the other records of a batch."""


def must_be_within_quota(accesses: int, quota: Quota, *, fewer: str) -> None:
    """Raise DeniedError before the first of these accesses, if the quota has some accesses left, but too few.

    With an exhausted quota, or for one access, the database decides, and its denial is on the record. `fewer` is
    the part of the hint that says how to ask for fewer accesses.
    """
    if accesses == 1 or not 0 < quota.left < accesses:
        return
    message = f"the quota has {quota.left} accesses left, and this command needs {accesses}"
    when = f"the quota is full again at {quota.reset_at:%Y-%m-%dT%H:%M:%SZ}; " if quota.used else ""
    raise DeniedError(message, hint=f"{when}{fewer}; no value was accessed")


class RevealBatch:
    """Reveals records in their order, and keeps the errors of single records."""

    def __init__(self, reveal: Callable[[AuditRequest], Revealed]) -> None:
        self._reveal = reveal
        self.failed: list[tuple[uuid.UUID | None, RecordError]] = []

    def run(
        self, requests: Sequence[AuditRequest], tell: Callable[[uuid.UUID | None, str], None]
    ) -> Iterator[Revealed]:
        """Yield each record that exists and opens; pass the others to `tell` when they fail.

        Raises every other error of a reveal, such as a denial: then the remaining records are not read.
        """
        for request in requests:
            try:
                revealed = self._reveal(request)
            except (NotFoundError, IntegrityError, UnusableKeyError) as error:
                self.failed.append((request.record_id, error))
                if len(requests) > 1:
                    tell(request.record_id, str(error))
                continue
            yield revealed

    def complain(self, asked: int) -> None:
        """Raise for the records that were not revealed, after the others are done; `asked` is the number of all.

        The error of a single record is its own. For many records the error is a DataError if a value does not
        open, else a NotFoundError.
        """
        if not self.failed:
            return
        if asked == 1:
            raise self.failed[0][1]
        unattached = sum(isinstance(error, UnattachedMonthError) for _, error in self.failed)
        absent = sum(isinstance(error, NotFoundError) for _, error in self.failed)
        kind: type[VaultEtlError] = NotFoundError if absent == len(self.failed) else DataError
        parts = {
            "do not exist": absent - unattached,
            "are of months that are not in the table": unattached,
            "do not open": len(self.failed) - absent,
        }
        some = " and ".join(f"{count} {what}" for what, count in parts.items() if count)
        message = f"of {asked} records {some}"
        raise kind(message, hint="each is named in a warning; the others are done")
