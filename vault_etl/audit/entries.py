"""What goes into the audit log, and the receipt that opening a value takes."""

from __future__ import annotations

import datetime as dt
import unicodedata
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from vault_etl.base.errors import UsageError
from vault_etl.base.text import HIDDEN
from vault_etl.crypto.fields import Field

MAX_REASON_CHARACTERS: Final = 500
MAX_WORD_CHARACTERS: Final = 64
"""Of a purpose or a ticket: the table's own limits."""

_MINT: Final = object()


class Action(StrEnum):
    """What an entry is about."""

    REVEAL = "reveal"
    REVEAL_MASKED = "reveal masked"
    FIND = "find"
    TOKENS = "tokens"
    ERASE = "erase"
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
    KEY_REGISTER = "audit key"
    AUDIT_TRIM = "audit trim"


ACCESS_ACTIONS: Final = frozenset(
    {Action.REVEAL, Action.REVEAL_MASKED, Action.QUARANTINE_SHOW, Action.FIND, Action.TOKENS}
)
"""What shows or confirms a personal value, or makes its token: under the policy and its quotas."""

NOT_SIGNED: Final = frozenset(
    {
        Action.KEYS_RANGE,
        Action.PARTITIONS_ENSURE,
        Action.PARTITIONS_DETACH,
        Action.PARTITIONS_ATTACH,
        Action.PARTITIONS_ARCHIVE,
        Action.PARTITIONS_DROP,
        Action.PARTITIONS_RESTORE,
    }
)
"""What has no checkpoint of its own, and is under the next one: a range's run has it; the owner's login keeps none."""

MAX_AMOUNT: Final = 65_536
"""Values that one entry is about."""


class Phase(StrEnum):
    """`intent` is committed before anything is done; `outcome` before anything is shown."""

    INTENT = "intent"
    OUTCOME = "outcome"


class Decision(StrEnum):
    """`allowed` or `denied` is an intent's; `done` or `failed` an outcome's."""

    ALLOWED = "allowed"
    DENIED = "denied"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """Who asks for what, and why. The log adds the time, the login and the client's address.

    `amount` is how many values an intent to find or to make tokens is about, if that is not one.
    """

    request_id: uuid.UUID
    action: Action
    actor: str
    host: str
    reason: str
    record_id: uuid.UUID | None = None
    fields: tuple[Field, ...] = ()
    purpose: str | None = None
    ticket: str | None = None
    amount: int | None = None


@final
class AuditReceipt:
    """Proof that an intent is committed. Only the audit log makes one (`mint_receipt`).

    `login` and `logged_at` are the entry's, by the database's word.
    `checkpoint` is the signed note of the head after the outcome, for the person to keep: None
    until then. `outcome`, if it is set, is the reason of the outcome: what came of it.
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
    """For the adapter of the audit log alone, after its COMMIT. A test holds that nobody else calls it."""
    return AuditReceipt(_MINT, request, seq, hash_, login, logged_at)


def clean_reason(text: str) -> str:
    """`text` as `clean_text` leaves it; 500 characters at most."""
    hint = "say why, in words that a reviewer will understand"
    return clean_text(text, "reason", MAX_REASON_CHARACTERS, hint)


def one_line(text: str) -> str:
    """`text` with a space in place of what hides, and of what this Python has no character for."""
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(HIDDEN.sub(" ", visible).split())


def clean_text(
    text: str, name: str, limit: int, hint: str = "leave it out, or say something"
) -> str:
    """`text` as `one_line` leaves it, which the database takes.

    Raises UsageError, calling it `name`, if nothing is left of it, or more than `limit` characters.
    """
    clean = one_line(text)
    if not clean:
        message = f"the {name} is empty"
        raise UsageError(message, hint=hint)
    if len(clean) > limit:
        message = f"the {name} is longer than {limit} characters"
        raise UsageError(message, hint="a reference to where the rest stands is enough")
    return clean
