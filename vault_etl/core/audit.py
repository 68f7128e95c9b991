"""What goes into the audit log, and the receipt that opening a value takes."""

from __future__ import annotations

import unicodedata
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from vault_etl.core.fields import Field
from vault_etl.errors import UsageError

MAX_REASON_CHARACTERS: Final = 500
MAX_WORD_CHARACTERS: Final = 64
"""Of a purpose or a ticket: the table's own limits."""

_MINT: Final = object()


class Action(StrEnum):
    """What an entry is about."""

    REVEAL = "reveal"
    REVEAL_MASKED = "reveal masked"
    FIND = "find"
    ERASE = "erase"
    KEYS_INIT = "keys init"
    KEYS_ROTATE = "keys rotate"
    KEYS_CUT_OVER = "keys cut-over"
    KEYS_REWRAP = "keys rewrap"
    KEYS_DESTROY = "keys destroy"
    QUARANTINE_SHOW = "quarantine show"
    QUARANTINE_RETRY = "quarantine retry"
    POLICY_SET = "policy set"
    KEY_REGISTER = "audit key"


LOOKS: Final = frozenset({Action.REVEAL, Action.REVEAL_MASKED, Action.QUARANTINE_SHOW, Action.FIND})
"""What shows or confirms a personal value: under the policy and its quota."""


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
    """Who asks for what, and why. The log adds the time, the login and the client's address."""

    request_id: uuid.UUID
    action: Action
    actor: str
    host: str
    reason: str
    record_id: uuid.UUID | None = None
    fields: tuple[Field, ...] = ()
    purpose: str | None = None
    ticket: str | None = None


@final
class AuditReceipt:
    """Proof that an intent is committed. Only the audit log makes one (`mint_receipt`).

    `checkpoint` is the signed note of the head after the outcome, for the person to keep: None
    until then.
    """

    __slots__ = ("checkpoint", "hash", "request", "seq")

    def __init__(self, mint: object, request: AuditRequest, seq: int, hash_: bytes) -> None:
        if mint is not _MINT:
            message = "only the audit log makes receipts"
            raise TypeError(message)
        self.request = request
        self.seq = seq
        self.hash = hash_
        self.checkpoint: str | None = None


def mint_receipt(request: AuditRequest, seq: int, hash_: bytes) -> AuditReceipt:
    """For the adapter of the audit log alone, after its COMMIT. A test holds that nobody else calls it."""
    return AuditReceipt(_MINT, request, seq, hash_)


def clean_reason(text: str) -> str:
    """`text` as `clean_text` leaves it; 500 characters at most."""
    hint = "say why, in words that a reviewer will understand"
    return clean_text(text, "reason", MAX_REASON_CHARACTERS, hint)


def clean_text(
    text: str, name: str, limit: int, hint: str = "leave it out, or say something"
) -> str:
    """`text` without control characters and in one line.

    Raises UsageError, calling it `name`, if nothing is left of it, or more than `limit` characters.
    """
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    clean = " ".join(visible.split())
    if not clean:
        message = f"the {name} is empty"
        raise UsageError(message, hint=hint)
    if len(clean) > limit:
        message = f"the {name} is longer than {limit} characters"
        raise UsageError(message, hint="a reference to where the rest stands is enough")
    return clean
