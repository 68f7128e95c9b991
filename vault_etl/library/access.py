"""Accesses of the library: tokens, reveals and searches, each with an entry in the audit log."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vault_etl.app import audit, find, records, reveal
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import (
    MAX_AMOUNT,
    MAX_WORD_CHARACTERS,
    Action,
    AuditRequest,
    clean_reason,
    clean_text,
)
from vault_etl.audit.log import audit_request
from vault_etl.base import logs
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.base.text import uuid_of
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.searched import Searched
from vault_etl.library.results import Entry, Found, RevealedRecord, SearchedValue
from vault_etl.records.unattached_months import UnsearchedMonths
from vault_etl.reveal.find import MAX_HOLDERS, must_be_held
from vault_etl.reveal.reveal import RevealBatch, must_be_within_quota

MAX_IDS: Final = 100_000
"""Records of one call, as of the command."""

_ROLE: Final = "vault_etl_reveal"


@dataclass(frozen=True, slots=True)
class Purpose:
    """The words of a caller about an access, in the form that the log accepts."""

    reason: str
    purpose: str | None
    ticket: str | None

    @classmethod
    def of(cls, reason: str, purpose: str | None, ticket: str | None) -> Purpose:
        """Clean the words. Raises UsageError for those that the log does not take."""
        return cls(clean_reason(reason), _word(purpose, "purpose"), _word(ticket, "ticket"))

    def request(
        self,
        parts: Parts,
        action: Action,
        fields: tuple[FieldName, ...] = (),
        amount: int | None = None,
    ) -> AuditRequest:
        """Return the request for an entry, under the caller's name of AWS."""
        return audit_request(
            parts.identity,
            action,
            self.reason,
            fields=fields,
            purpose=self.purpose,
            ticket=self.ticket,
            amount=amount,
        )


def tokens(
    parts: Parts, wanted: Searched, values: Sequence[Pii | None], purpose: Purpose
) -> list[uuid.UUID | None]:
    """Return the tokens of values, None of None: an entry for each `MAX_AMOUNT` of them, committed before.

    The quota is checked before the first entry.
    """
    held = [value for value in values if value is not None]
    parted = [held[at : at + MAX_AMOUNT] for at in range(0, len(held), MAX_AMOUNT)]
    requests = [purpose.request(parts, Action.TOKENS, (wanted.name,), len(part)) for part in parted]
    audit.check_role(parts, _ROLE, requests=lambda: requests)
    must_be_within_quota(
        len(held), audit.policy(parts).allowance().tokens, fewer="give fewer values"
    )
    made = iter(
        [
            token
            for request, part in zip(requests, parted, strict=True)
            for token in find.make_tokens(parts, request.request_id)(request, part).tokens
        ]
    )
    return [None if value is None else next(made) for value in values]


def search(
    parts: Parts, wanted: Searched, values: Sequence[Pii], purpose: Purpose, limit: int
) -> Found:
    """Find the records that hold the values: one entry for all of them. Lists `limit` records of each."""
    if not 1 <= limit <= MAX_HOLDERS:
        message = f"the limit is not from 1 to {MAX_HOLDERS:,}"
        raise UsageError(message)
    if not 1 <= len(values) <= MAX_AMOUNT:
        message = f"there are more than {MAX_AMOUNT:,} values" if values else "there is no value"
        raise UsageError(message, hint="search for fewer at a time")
    must_be_held(wanted, values)
    amount = len(values) if len(values) > 1 else None
    request = purpose.request(parts, Action.FIND, (wanted.name,), amount)
    audit.check_role(parts, _ROLE, requests=lambda: [request])
    with UnsearchedMonths(records.months(parts), wanted.events(parts.declaration)) as left:
        found = find.find(parts, request.request_id).many(request, values, limit)
    return Found(
        tuple(SearchedValue.of(one, wanted.placeholders.get(one.token)) for one in found),
        tuple(month.partition for month in left.months),
        Entry.of(found[0].receipt),
    )


class Reveals:
    """Reveals of records, an entry each. The login and the quota are checked when they are built."""

    def __init__(
        self,
        parts: Parts,
        record_ids: Sequence[uuid.UUID],
        fields: tuple[FieldName, ...],
        purpose: Purpose,
        *,
        masked: bool,
    ) -> None:
        action = Action.REVEAL_MASKED if masked else Action.REVEAL
        request = purpose.request(parts, action, fields)
        self._parts = parts
        self._requests = [
            replace(request, request_id=uuid.uuid4(), record_id=one) for one in record_ids
        ]
        audit.check_role(parts, _ROLE, requests=lambda: self._requests)
        quota = audit.policy(parts).allowance().accesses
        must_be_within_quota(len(record_ids), quota, fewer="give fewer records")

    def run(self) -> Iterator[RevealedRecord]:
        """Yield each record that exists and opens. Raises for the others at the end, and logs a warning of each."""
        batch = RevealBatch(lambda request: reveal.reveal(self._parts, request.request_id)(request))
        for revealed in batch.run(self._requests, _warn):
            yield RevealedRecord.of(revealed)
        batch.complain(len(self._requests))


def record_ids_of(ids: Iterable[object]) -> list[uuid.UUID]:
    """Return the ids of records, each once. Raises UsageError for another text, which it does not quote."""
    if isinstance(ids, str | bytes | uuid.UUID):
        message = "the ids are one id, and not a list"
        raise UsageError(message, hint="put it into a list")
    found = list(dict.fromkeys(_record_id(one, number) for number, one in enumerate(ids, start=1)))
    if not 1 <= len(found) <= MAX_IDS:
        message = f"there are more than {MAX_IDS:,} record ids" if found else "there is no id"
        raise UsageError(message, hint="give fewer at a time")
    return found


def _record_id(one: object, number: int) -> uuid.UUID:
    value = one.as_py() if hasattr(one, "as_py") else one  # of Arrow
    if isinstance(value, uuid.UUID):
        return value
    with contextlib.suppress(ValueError):
        if isinstance(value, bytes):  # as polars has it
            return uuid.UUID(bytes=value)
        if isinstance(value, str):
            return uuid_of(value)
    message = f"id {number} is not a record id"
    raise UsageError(message, hint="a record id is a UUID, the record_id of its record")


def _warn(record_id: uuid.UUID | None, text: str) -> None:
    logs.get_logger().warning("not revealed", record_id=str(record_id), error=text)


def _word(text: str | None, name: str) -> str | None:
    return None if text is None else clean_text(text, name, MAX_WORD_CHARACTERS)
