"""The content of audit entries, and the receipt that opening a value requires."""

from __future__ import annotations

import datetime as dt
import unicodedata
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from vault_etl.base.errors import UsageError
from vault_etl.base.text import HIDDEN
from vault_etl.crypto.fields import FieldName

MAX_REASON_CHARACTERS: Final = 500
MAX_WORD_CHARACTERS: Final = 64
"""The table's own limits on a reason, and on a purpose or ticket."""

_MINT: Final = object()


class Action(StrEnum):
    """The action that an entry is about."""

    REVEAL = "reveal"
    REVEAL_MASKED = "reveal masked"
    FIND = "find"
    TOKENS = "tokens"
    ERASE = "erase"
    LAKE_OPEN = "lake open"
    LAKE_ROTATE = "lake rotate"
    LAKE_ERASE = "lake erase"
    LAKE_DROP = "lake drop"
    KEYS_INIT = "keys init"
    KEYS_ROTATE = "keys rotate"
    KEYS_CUT_OVER = "keys cut-over"
    KEYS_CHANGE = "keys change"
    KEYS_RANGE = "keys range"
    KEYS_REWRAP = "keys rewrap"
    KEYS_DESTROY = "keys destroy"
    QUARANTINE_SHOW = "quarantine show"
    QUARANTINE_RETRY = "quarantine retry"
    QUARANTINE_DISCARD = "quarantine discard"
    PARTITIONS_ENSURE = "partitions ensure"
    PARTITIONS_DETACH = "partitions detach"
    PARTITIONS_ATTACH = "partitions attach"
    PARTITIONS_ARCHIVE = "partitions archive"
    PARTITIONS_DROP = "partitions drop"
    PARTITIONS_RETOKEN = "partitions retoken"
    PARTITIONS_RESTORE = "partitions restore"
    POLICY_SET = "policy set"
    SCHEMA_APPLY = "schema apply"
    KEY_REGISTER = "audit key"
    AUDIT_TRIM = "audit trim"


ACCESS_ACTIONS: Final = frozenset(
    {
        Action.REVEAL,
        Action.REVEAL_MASKED,
        Action.QUARANTINE_SHOW,
        Action.FIND,
        Action.TOKENS,
        Action.LAKE_OPEN,
    }
)
"""Actions that show or confirm a personal value, or make its token: the policy and its quotas apply."""

NOT_SIGNED: Final = frozenset(
    {
        Action.KEYS_RANGE,
        Action.PARTITIONS_ENSURE,
        Action.PARTITIONS_DETACH,
        Action.PARTITIONS_ATTACH,
        Action.PARTITIONS_ARCHIVE,
        Action.PARTITIONS_DROP,
        Action.PARTITIONS_RESTORE,
        Action.LAKE_DROP,
        Action.SCHEMA_APPLY,
    }
)
"""Actions whose outcomes get no checkpoint of their own, and are proven by the next one.

A range's run is signed as a whole; the owner's login may not sign.
"""

MAX_AMOUNT: Final = 65_536
"""The most values that one entry is about."""

MAX_OPENED_ROWS: Final = 1_000_000
"""The most rows of a set that one entry to open them is about."""


class Phase(StrEnum):
    """`intent` is committed before the work; `outcome` before a result is shown."""

    INTENT = "intent"
    OUTCOME = "outcome"


class Decision(StrEnum):
    """`allowed` and `denied` belong to an intent; `done` and `failed` to an outcome."""

    ALLOWED = "allowed"
    DENIED = "denied"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """The actor, the action and the reason. The log adds the time, the login and the client's address.

    `amount` is the number of values of an intent to find or to make tokens, if it is not one, and the number of rows
    of an intent to open a set.
    """

    request_id: uuid.UUID
    action: Action
    actor: str
    host: str
    reason: str
    record_id: uuid.UUID | None = None
    fields: tuple[FieldName, ...] = ()
    purpose: str | None = None
    ticket: str | None = None
    amount: int | None = None


@final
class AuditReceipt:
    """Proof that an intent is committed. Only the audit log makes a receipt (`mint_receipt`).

    `login` and `logged_at` are the entry's, as the database recorded them.
    `checkpoint` is the signed note of the head after the outcome, for the person to keep: None
    until then. `outcome`, if set, is the reason of the outcome: the result in words.
    """

    __slots__ = ("checkpoint", "hash", "logged_at", "login", "outcome", "request", "seq")

    def __init__(
        self,
        mint: object,
        request: AuditRequest,
        seq: int,
        hash_: bytes,
        login: str,
        logged_at: dt.datetime,
    ) -> None:
        if mint is not _MINT:
            message = "only the audit log makes receipts"
            raise TypeError(message)
        self.request = request
        self.seq = seq
        self.hash = hash_
        self.login = login
        self.logged_at = logged_at
        self.checkpoint: str | None = None
        self.outcome: str | None = None


def mint_receipt(
    request: AuditRequest, seq: int, hash_: bytes, login: str, logged_at: dt.datetime
) -> AuditReceipt:
    """Make a receipt: for the adapter of the audit log alone, after its COMMIT. A test allows no other caller."""
    return AuditReceipt(_MINT, request, seq, hash_, login, logged_at)


def clean_reason(text: str) -> str:
    """Return `text` as `clean_text` does; 500 characters at most."""
    hint = "say why, in words that a reviewer will understand"
    return clean_text(text, "reason", MAX_REASON_CHARACTERS, hint)


def one_line(text: str) -> str:
    """Return `text` with spaces in place of hidden characters, and of those that this Python does not know."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(HIDDEN.sub(" ", visible).split())


def clean_text(
    text: str, name: str, limit: int, hint: str = "leave it out, or say something"
) -> str:
    """Return `text` as `one_line` does, so that the database accepts it.

    Raises UsageError, calling it `name`, if no text remains, or more than `limit` characters.
    """
    clean = one_line(text)
    if not clean:
        message = f"the {name} is empty"
        raise UsageError(message, hint=hint)
    if len(clean) > limit:
        message = f"the {name} is longer than {limit} characters"
        raise UsageError(message, hint="a reference to where the rest is kept is enough")
    return clean
