"""Which records hold a value, against an entry of the audit log."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ipaddress
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.fields import Field
from vault_etl.keys.ring import KeyRing

MAX_HOLDERS: Final = 1_000
"""Records that one look lists, by the database's own limit."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A record that holds a token, without what it holds."""

    record_id: uuid.UUID
    user_id: str
    create_date: dt.date
    event_time: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Holders:
    """How many records hold a token in all, and the newest of them."""

    count: int
    newest: Sequence[Holder]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A record of a user, in the columns that are stored as they came."""

    record_id: uuid.UUID
    device_type: str
    locale: str | None
    app_version: str | None
    create_date: dt.date
    event_time: dt.datetime | None


@dataclass(frozen=True, slots=True)
class UserRecords:
    """How many records a user has in all, and the newest of them."""

    count: int
    newest: Sequence[UserRecord]


class RecordFinder(Protocol):
    """May look a value up, against a committed intent, and read no record."""

    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[Holders]:
        """Who holds each value in the intent's field, whatever the generation of its token; once.

        The tokens are of one value, or of the intent's amount of values one behind the other: as
        many for each, one for each generation whose key is not destroyed. `limit` records of a value
        at most are listed, never more than `MAX_HOLDERS`, and 100,000 in all. Raises DeniedError
        unless a committed intent of this login to find so many values, at most 60 s old, allows it.
        """

    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        """The records of a user, the newest 100,000; once.

        Raises DeniedError unless a committed intent of this login to find, of no field, at most 60 s
        old, allows it.
        """


_HINTS = {
    Field.IP: "it is one IPv4 or IPv6 address, without port or zone, or a range of them",
    Field.DEVICE_ID: "it is text that is not blank, in UTF-8",
}
_SHOWN_LINES = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A value's token as analysts see it, and who holds it. `receipt` is of the intent."""

    token: uuid.UUID
    holders: Holders
    receipt: AuditReceipt


class Find:
    """Intent, KMS, look-up, outcome: in this order, and nothing is returned before the last."""

    def __init__(self, audit: AuditLog, records: RecordFinder, ring: KeyRing) -> None:
        self._audit = audit
        self._records = records
        self._ring = ring

    def __call__(self, request: AuditRequest, value: Pii, limit: int) -> Found:
        """Look for one value; see `many`."""
        (found,) = self.many(request, [value], limit)
        return found

    def many(self, request: AuditRequest, values: Sequence[Pii], limit: int) -> Sequence[Found]:
        """Look for values in the one field of `request`; of each `limit` records at most are listed.

        `request.amount` is how many they are, if that is not one. Every generation's token is looked
        for, so that none is missed while a rotation of the token keys runs, nor afterwards where it
        left old tokens. Raises UsageError, without a value, if the field cannot hold one of them;
        AuditError, KeyUnavailableError, UnavailableError.
        """
        (field,) = request.fields
        must_be_held(field, values)
        with audited(self._audit, request) as receipt:
            makers = self._ring.field_tokenizers(field)
            tokens = [maker.token(value) for value in values for maker in makers]
            holders = self._records.holding(receipt, tokens, limit)
        return [
            Found(token, each, receipt)
            for token, each in zip(tokens[:: len(makers)], holders, strict=True)
        ]


class FindUser:
    """The records of a user: intent, look-up, outcome. The entry does not name the user, as `find` no value."""

    def __init__(self, audit: AuditLog, records: RecordFinder) -> None:
        self._audit = audit
        self._records = records

    def __call__(self, request: AuditRequest, user_id: str) -> tuple[UserRecords, AuditReceipt]:
        """The newest records of the user, and how many there are. Raises AuditError, UnavailableError."""
        with audited(self._audit, request) as receipt:
            found = self._records.of_user(receipt, user_id)
        return found, receipt


def can_hold(field: Field, value: Pii) -> bool:
    """Whether a record can hold this value in the field."""
    with contextlib.suppress(ValueError):
        canonical(field, value)
        return True
    return False


def must_be_held(field: Field, values: Sequence[Pii]) -> None:
    """Before the intent: what no record can hold is no look at one. Raises UsageError."""
    wrong = [number for number, value in enumerate(values, start=1) if not can_hold(field, value)]
    if not wrong:
        return
    message = f"the field {field} cannot hold this value"
    if len(values) > 1:
        some = ", ".join(map(str, wrong[:_SHOWN_LINES]))
        message = f"the field {field} cannot hold {len(wrong)} of these values: number {some}"
    raise UsageError(message, hint=_HINTS[field])


def addresses_of(text: str, limit: int) -> Sequence[str] | None:
    """The addresses of `198.51.100.0/24` or `198.51.100.7-198.51.100.9`, in order; None for what is no range.

    Raises UsageError, without the range, for more than `limit` of them.
    """
    with contextlib.suppress(ValueError):
        if "/" in text:
            network = ipaddress.ip_network(text.strip(), strict=False)
            first, last = network[0], network[-1]
        else:
            first, last = map(ipaddress.ip_address, map(str.strip, text.split("-")))
        count = int(last) - int(first) + 1
        if first.version == last.version and count > 0:
            if count > limit:
                message = f"a range has more than {limit:,} addresses"
                raise UsageError(message, hint="look for a part of it at a time")
            kind = type(first)
            return [str(kind(number)) for number in range(int(first), int(last) + 1)]
    return None


NONCE_BYTES: Final = 32

_PREFIX: Final = b"vault-etl/1/search"
_USER_PREFIX: Final = b"vault-etl/1/search-user"


def user_digest(nonce: bytes, user_id: str) -> bytes:
    """The same of one user: SHA-256 of another prefix, the nonce and the id in UTF-8. Raises ValueError as well."""
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(_USER_PREFIX + nonce + user_id.encode()).digest()


def search_digest(nonce: bytes, tokens: Sequence[uuid.UUID]) -> bytes:
    """SHA-256 of prefix, nonce and tokens, in this order: 32 bytes.

    The nonce is random, is used once, and is stored nowhere: nobody can try tokens against the
    digest. Raises ValueError for another length than 32 bytes, which would let two lists collide.
    """
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(_PREFIX + nonce + b"".join(t.bytes for t in tokens)).digest()
