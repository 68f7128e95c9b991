"""A message of the queue, and what became of it."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from enum import StrEnum

from vault_etl.core.ciphertext import Place
from vault_etl.core.events import LoginEvent, Reason, Rejection, parse_event
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.pii import Pii
from vault_etl.core.record_id import MAX_MILLISECONDS, record_id_of_message
from vault_etl.core.sealing import Sealer
from vault_etl.core.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class Message:
    """One receive of a message. `sent_ms` is its SentTimestamp, milliseconds since 1970 UTC."""

    message_id: str
    receipt_handle: str
    body: Pii
    sent_ms: int
    receive_count: int = 1


class Outcome(StrEnum):
    """What became of a message. The first two mean that it is stored from now on."""

    STORED = "stored"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    ALREADY_QUARANTINED = "already_quarantined"


@dataclass(frozen=True, slots=True)
class RecordRange:
    """A partition's bounds: record ids from `first` up to but not `end`."""

    first: uuid.UUID
    end: uuid.UUID


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message, read: its record id, and the event that it is, or why it is none."""

    record_id: uuid.UUID
    message: Message
    content: LoginEvent | Rejection


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A row of `user_logins`, with nothing personal in it."""

    record_id: uuid.UUID
    user_id: str
    device_type: str
    tokens: dict[Field, uuid.UUID]
    next_tokens: dict[Field, uuid.UUID] | None
    ciphertexts: dict[Field, bytes]
    token_generation: int
    next_token_generation: int | None
    locale: str | None
    app_version: str | None
    create_date: dt.date


@dataclass(frozen=True, slots=True)
class SealedRejection:
    """A row of `quarantine`: why, where, and the sealed body."""

    record_id: uuid.UUID
    reason: Reason
    path: str
    body_ciphertext: bytes


def parse_message(message: Message, ranges: tuple[RecordRange, ...]) -> Parsed:
    """Read a message. One sent outside every partition is rejected before any SQL sees it.

    Raises ValueError if `sent_ms` does not fit a record id: no queue sends that.
    """
    record_id = record_id_of_message(message.message_id, min(message.sent_ms, MAX_MILLISECONDS))
    content = parse_event(message.body.expose())
    if isinstance(content, LoginEvent) and not any(r.first <= record_id < r.end for r in ranges):
        content = Rejection(Reason.SENT_OUT_OF_RANGE)
    return Parsed(record_id, message, content)


def seal_event(
    parsed: Parsed,
    event: LoginEvent,
    sealer: Sealer,
    tokenizer: Tokenizer,
    next_tokenizer: Tokenizer | None,
) -> SealedRecord:
    """The row of an event: two tokens, and their twins while a generation is pending, two ciphertexts."""
    values = {Field.IP: event.ip, Field.DEVICE_ID: event.device_id}
    return SealedRecord(
        record_id=parsed.record_id,
        user_id=event.user_id,
        device_type=event.device_type,
        tokens=_tokens(tokenizer, values),
        next_tokens=_tokens(next_tokenizer, values) if next_tokenizer else None,
        ciphertexts={
            field: sealer.seal(
                values[field], Place.in_record(field, parsed.record_id, event.user_id)
            )
            for field in PERSONAL_FIELDS
        },
        token_generation=tokenizer.generation,
        next_token_generation=next_tokenizer.generation if next_tokenizer else None,
        locale=event.locale,
        app_version=event.app_version,
        create_date=event.create_date or _day_sent(parsed.message.sent_ms),
    )


def seal_rejection(parsed: Parsed, rejection: Rejection, sealer: Sealer) -> SealedRejection:
    """The quarantine row of a message: its body is sealed as a personal field is."""
    return SealedRejection(
        record_id=parsed.record_id,
        reason=rejection.reason,
        path=rejection.path,
        body_ciphertext=sealer.seal(parsed.message.body, Place.in_quarantine(parsed.record_id)),
    )


def _tokens(tokenizer: Tokenizer, values: dict[Field, Pii]) -> dict[Field, uuid.UUID]:
    return {field: tokenizer.token(field, value) for field, value in values.items()}


def _day_sent(sent_ms: int) -> dt.date:
    return dt.datetime.fromtimestamp(sent_ms / 1000, dt.UTC).date()
