"""The outcomes of a batch, from the parts of it that were committed."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vault_etl.base.errors import DeniedError, IncompleteError, UnavailableError
from vault_etl.crypto.fields import EventName
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.messages import Message, Outcome, Parsed

_STORED: Final = Outcome.STORED
_DUPLICATE: Final = Outcome.DUPLICATE
_QUARANTINED: Final = Outcome.QUARANTINED
_ALREADY_QUARANTINED: Final = Outcome.ALREADY_QUARANTINED
_RETRY: Final = Outcome.RETRY
"""The outcomes under names of this module: a member of an enum costs a search."""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of each message of a batch, in order, and the cause of retries."""

    outcomes: list[Outcome]
    stored: Mapping[EventName, int]
    reasons: Mapping[Reason, int]
    """Counts of new records by their event, and of newly quarantined messages by their reason."""
    extra_fields: Mapping[str, int]
    """Counts of dropped unknown fields, by the names that may be shown."""
    cause: UnavailableError | IncompleteError | DeniedError | None
    """The error that kept the messages of outcome `RETRY` from being stored."""


@dataclass(slots=True)
class BatchProgress:
    """The committed part of a batch: the outcome of each record, and the rejections among them."""

    settled: dict[uuid.UUID, Outcome] = field(default_factory=dict)
    rejected: dict[uuid.UUID, Rejection] = field(default_factory=dict)
    refused: list[Parsed] = field(default_factory=list)
    cause: UnavailableError | IncompleteError | DeniedError | None = None

    def loaded(self, batch: Sequence[Parsed], result: Loaded) -> None:
        """Note that this part of the batch is committed."""
        stored, quarantined = result.record_ids, result.rejection_ids
        for record_id, _, content, _ in batch:
            if isinstance(content, Rejection):
                self.rejected[record_id] = content
                is_new = record_id in quarantined
                self.settled[record_id] = _QUARANTINED if is_new else _ALREADY_QUARANTINED
            else:
                self.settled[record_id] = _STORED if record_id in stored else _DUPLICATE


def written(
    messages: Sequence[Message], parsed: Sequence[Parsed], progress: BatchProgress
) -> Written:
    """Return the outcomes of a batch. A message that is twice in a batch is stored once: the second is a duplicate."""
    if not parsed:
        return Written([_RETRY] * len(messages), {}, {}, {}, progress.cause)
    outcomes, extra_fields = list[Outcome](), ExtraFields()
    stored, reasons = collections.Counter[EventName](), collections.Counter[Reason]()
    settled = progress.settled
    for record_id, _, content, _ in parsed:
        outcome = settled.get(record_id, _RETRY)
        outcomes.append(outcome)
        if outcome is _QUARANTINED:
            settled[record_id] = _ALREADY_QUARANTINED
            reasons[progress.rejected[record_id].reason] += 1
        if outcome is _RETRY or not isinstance(content, ParsedEvent):
            continue
        if outcome is _STORED:
            settled[record_id] = _DUPLICATE
            stored[content.event.name] += 1
        if content.extra_fields:
            extra_fields.add(content.extra_fields)
    return Written(outcomes, +stored, +reasons, extra_fields.counts, progress.cause)
