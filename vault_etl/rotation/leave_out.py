"""Name the rows that a new generation of tokens may leave out: one record, or all rows under certain data keys."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import UsageError
from vault_etl.base.text import uuid_of
from vault_etl.crypto.keys import MAX_KEY_ID, StoredKey

_HINT: Final = (
    "a record id, or some of key=ID, login=NAME, since=TIME and until=TIME, joined by commas"
)
_NEXT: Final = re.compile(r",(?=(?:key|login|since|until)=)")
"""A comma before a criterion. The name of a login may hold other commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOut:
    """The value of `--leave-out`: a record, or criteria of data keys, all of which must hold.

    Data keys name the rows under them, because the database lets a login write only under keys that the
    login made itself. `login` is the maker of the key. A moment of the key's lease is between `since` and
    `until`, both included.
    """

    record_id: uuid.UUID | None = None
    key_id: int | None = None
    login: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @classmethod
    def parse(cls, text: str) -> LeaveOut:
        """Read what `str` writes. Raises UsageError for any other text."""
        if re.fullmatch(r"[0-9a-fA-F-]{32,36}", text):
            return cls(record_id=_record_id(text))
        criteria: dict[str, str] = {}
        for part in _NEXT.split(text):
            name, sign, value = part.partition("=")
            if name not in {"key", "login", "since", "until"} or not sign or not value:
                raise _refused(f"{part} is not a record id and not a criterion")
            if name in criteria:
                raise _refused(f"{name}= is there twice")
            criteria[name] = value
        return cls(
            key_id=_key_id(criteria["key"]) if "key" in criteria else None,
            login=criteria.get("login"),
            since=_moment(criteria["since"]) if "since" in criteria else None,
            until=_moment(criteria["until"]) if "until" in criteria else None,
        )

    def names(self, record_id: uuid.UUID, keys: Iterable[StoredKey]) -> bool:
        """True if this names a row under these data keys, by the rule of the block `named` in rotation/tokens.sql."""
        if self.record_id is not None:
            return record_id == self.record_id
        return any(self._names_key(key) for key in keys)

    def _names_key(self, key: StoredKey) -> bool:
        return (
            (self.key_id is None or key.key_id == self.key_id)
            and (self.login is None or key.created_by == self.login)
            and (
                self.since is None or (key.expires_at is not None and key.expires_at >= self.since)
            )
            and (self.until is None or key.created_at <= self.until)
        )

    def __str__(self) -> str:
        if self.record_id is not None:
            return str(self.record_id)
        criteria = {
            "key": None if self.key_id is None else str(self.key_id),
            "login": self.login,
            "since": _text(self.since),
            "until": _text(self.until),
        }
        return ",".join(f"{name}={value}" for name, value in criteria.items() if value is not None)


def _record_id(text: str) -> uuid.UUID:
    try:
        return uuid_of(text)
    except ValueError:
        raise _refused(f"{text} is not a record id") from None


def _key_id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 0 < int(text) <= MAX_KEY_ID:
        raise _refused(f"{text} is not a key id")
    return int(text)


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise _refused(f"{text} is not a time with its zone, such as 2026-11-29T08:00:00Z")


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _refused(message: str) -> UsageError:
    return UsageError(message, hint=_HINT)


@dataclass(frozen=True, slots=True)
class Named:
    """The numbers of rows with tokens that a `LeaveOut` names, and of the keys that they are under.

    `logins` made the keys, and KMS wrapped them under `kms_key_arns`; at most ten of each are named.
    """

    what: LeaveOut
    keys: int
    logins: tuple[str, ...]
    kms_key_arns: tuple[str, ...]
    rows: int
