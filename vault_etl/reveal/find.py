"""Find the records that hold a value, or that a user has, on the record: a match confirms a guess."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.searched import Searched, searched
from vault_etl.keys.ring import KeyRing

MAX_HOLDERS: Final = 1_000
"""Records that one access lists for a value; the database enforces this limit."""

NONCE_BYTES: Final = 32
"""Bytes of the nonce in a search digest."""

_PREFIX: Final = b"vault-etl/1/search"
_USER_PREFIX: Final = b"vault-etl/1/search-user"

_SHOWN: Final = 10
"""Numbers of values that an error names."""


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """A record that holds a token, without its personal values."""

    event: EventName
    record_id: uuid.UUID
    subject: str
    day: dt.date
    moment: dt.datetime | None


@dataclass(frozen=True, slots=True)
class TokenHolders:
    """The number of records that hold a token, and the newest of these records."""

    count: int
    newest: Sequence[TokenHolder]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A record of a user. `details` are the plain columns besides subject, day and moment, as JSON has them."""

    event: EventName
    record_id: uuid.UUID
    day: dt.date
    moment: dt.datetime | None
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UserRecords:
    """The number of records of a user, and the newest of these records."""

    count: int
    newest: Sequence[UserRecord]


class RecordFinder(Protocol):
    """Searches records against a committed intent. The caller may not read the table."""

    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[TokenHolders]:
        """Return the holders of each value in the intent's field, for every generation of its token; only once.

        The tokens are those of one value after the other: for each value one token for each generation whose key
        is not destroyed. The number of values is the intent's amount, or one. At most `limit` records of a value are
        listed, never more than `MAX_HOLDERS`, and 100,000 in all. Raises DeniedError unless a committed intent of
        this login to find so many values, at most 60 s old, allows it.
        """

    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        """Return the records of a user, at most the newest 100,000; only once.

        Raises DeniedError unless a committed intent of this login to find, without a field and at most 60 s old,
        allows it.
        """


@dataclass(frozen=True, slots=True)
class FoundValue:
    """The token of a value as analysts see it, and the records that hold it. `receipt` is of the intent."""

    token: uuid.UUID
    holders: TokenHolders
    receipt: AuditReceipt


class Find:
    """Finds records by value: intent, KMS, search, outcome. Nothing is returned before the outcome is committed."""

    def __init__(
        self, audit: AuditLog, records: RecordFinder, ring: KeyRing, declaration: Declaration
    ) -> None:
        self._audit = audit
        self._records = records
        self._ring = ring
        self._searched = searched(declaration)

    def __call__(self, request: AuditRequest, value: Pii, limit: int) -> FoundValue:
        """Find the records that hold one value, as `many` does."""
        (found,) = self.many(request, [value], limit)
        return found

    def many(
        self, request: AuditRequest, values: Sequence[Pii], limit: int
    ) -> Sequence[FoundValue]:
        """Find the records that hold these values in the one field of `request`; list `limit` records of each value.

        The field may be a derived form (`ip/network`): then a value is a whole form, or any value that has it.

        `request.amount` is the number of values, if there is not exactly one. The search covers the token of every
        generation, so that no record is missed during a rotation of the token keys, nor afterwards where old tokens
        are left. Raises UsageError, which names no value, if the field cannot hold a value; AuditError,
        KeyUnavailableError, UnavailableError.
        """
        (name,) = request.fields
        wanted = self._searched[name]
        held = must_be_held(wanted, values)
        with audited(self._audit, request) as receipt:
            makers = self._ring.field_tokenizers(wanted.field.name)
            tokens = [maker.token(value, wanted.derived) for value in held for maker in makers]
            holders = self._records.holding(receipt, tokens, limit)
        return [
            FoundValue(token, each, receipt)
            for token, each in zip(tokens[:: len(makers)], holders, strict=True)
        ]


class FindUser:
    """Finds the records of a user: intent, search, outcome. The entry does not name the user."""

    def __init__(self, audit: AuditLog, records: RecordFinder) -> None:
        self._audit = audit
        self._records = records

    def __call__(self, request: AuditRequest, user_id: str) -> tuple[UserRecords, AuditReceipt]:
        """Return the newest records of the user, and their number. Raises AuditError, UnavailableError."""
        with audited(self._audit, request) as receipt:
            found = self._records.of_user(receipt, user_id)
        return found, receipt


def must_be_held(wanted: Searched, values: Sequence[Pii]) -> Sequence[Pii]:
    """Return the values as records hold them. Raises UsageError if no record can hold one of them.

    Called before the intent, as this is no access.
    """
    held = [wanted.held_or_none(value) for value in values]
    wrong = [number for number, value in enumerate(held, start=1) if value is None]
    if not wrong:
        return [value for value in held if value is not None]
    message = f"the field {wanted.name} cannot hold this value"
    if len(values) > 1:
        some = ", ".join(map(str, wrong[:_SHOWN]))
        message = f"the field {wanted.name} cannot hold {len(wrong)} of these values: number {some}"
    raise UsageError(message, hint=wanted.hint)


def addresses_of(text: str, limit: int) -> Sequence[str] | None:
    """Return the addresses of `198.51.100.0/24` or `198.51.100.7-198.51.100.9`, in order; None if this is not a range.

    Only single addresses have tokens. Raises UsageError, which does not name the range, for more than `limit`.
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
                raise UsageError(message, hint="search for a part of the range at a time")
            kind = type(first)
            return [str(kind(number)) for number in range(int(first), int(last) + 1)]
    return None


def search_digest(nonce: bytes, tokens: Sequence[uuid.UUID]) -> bytes:
    """Bind an intent to the tokens of a search: SHA-256 of prefix, nonce and tokens, in this order (32 bytes).

    The nonce is random, is used once, and is not stored, so the digest cannot be used to test tokens. Raises
    ValueError if the nonce does not have 32 bytes: with other lengths two lists could have the same digest.
    docs/formats.md, Search, specifies the bytes.
    """
    return _digest(_PREFIX, nonce, b"".join(token.bytes for token in tokens))


def user_digest(nonce: bytes, user_id: str) -> bytes:
    """Bind an intent to the user of a search: as `search_digest`, with another prefix, of the id in UTF-8.

    Raises ValueError as `search_digest` does.
    """
    return _digest(_USER_PREFIX, nonce, user_id.encode())


def _digest(prefix: bytes, nonce: bytes, content: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        message = f"a nonce has {NONCE_BYTES} bytes"
        raise ValueError(message)
    return hashlib.sha256(prefix + nonce + content).digest()
