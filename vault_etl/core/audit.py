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

_MINT: Final = object()


class Action(StrEnum):
    """What an entry is about."""

    REVEAL = "reveal"
    KEYS_INIT = "keys init"
    KEYS_ROTATE = "keys rotate"


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
    """Proof that an intent is committed. Only the audit log makes one (`mint_receipt`)."""

    __slots__ = ("hash", "request", "seq")

    def __init__(self, mint: object, request: AuditRequest, seq: int, hash_: bytes) -> None:
        if mint is not _MINT:
            message = "only the audit log makes receipts"
            raise TypeError(message)
        self.request = request
        self.seq = seq
        self.hash = hash_


def mint_receipt(request: AuditRequest, seq: int, hash_: bytes) -> AuditReceipt:
    """For the adapter of the audit log alone, after its COMMIT. A test holds that nobody else calls it."""
    return AuditReceipt(_MINT, request, seq, hash_)


def clean_reason(text: str) -> str:
    """`text` without control characters and in one line.

    Raises UsageError if nothing is left of it, or more than 500 characters.
    """
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    reason = " ".join(visible.split())
    if not reason:
        message = "the reason is empty"
        raise UsageError(message, hint="say why, in words that a reviewer will understand")
    if len(reason) > MAX_REASON_CHARACTERS:
        message = f"the reason is longer than {MAX_REASON_CHARACTERS} characters"
        raise UsageError(message)
    return reason
