"""A Lambda function that loads the messages of an SQS event source: `vault_etl.aws_lambda.handler`.

The event source mapping must have ReportBatchItemFailures: without it Lambda deletes the messages that
the answer names as failed. docs/lambda.md says how to deploy the function.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from vault_etl import settings
from vault_etl.app.batches import batch_writer, queue_parser
from vault_etl.app.parts import Parts
from vault_etl.base import logs
from vault_etl.base.empty_variables import forget_empty
from vault_etl.base.errors import ConfigurationError, UnavailableError, VaultEtlError
from vault_etl.base.pii import Pii
from vault_etl.event.extra_fields import ExtraFields
from vault_etl.ingest.sources.sqs import queue_name
from vault_etl.platform.core_dumps import forbid_core_dumps
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import BatchWriter
from vault_etl.records.written import Written

SECOND_TRY_MS: Final = 10_000
"""Milliseconds that a second try needs: Lambda would cut off a shorter one."""

_MILLISECONDS: Final = re.compile("[0-9]{1,15}")
_HINT: Final = "its only trigger must be an SQS event source mapping"


class LambdaContext(Protocol):
    """The part of Lambda's context that the handler uses."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda cuts off this call."""


def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Store or quarantine the messages of one event, and return the ids of those that are not committed.

    Lambda deletes the other messages. If no message could be committed, the handler raises: Lambda counts
    the error and slows down, and delivers the messages again as well. Raises ConfigurationError for an
    event that is not of SQS, and the errors of `BatchWriter.write`. No error shows a value: Lambda writes
    its text and its traceback to the log.
    """
    try:
        return _answer(_records(event), context)
    except VaultEtlError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the last resort, and its text may quote a value
        failure = VaultEtlError(logs.bug(error))
    # Outside of the except clauses: otherwise this error would carry the first one, with the values that it quotes.
    failure.__cause__ = failure.__context__ = None
    _log().error(
        "failed",
        request_id=context.aws_request_id,
        error=failure.word,
        text=str(failure),
        hint=failure.hint,
    )
    raise failure.with_traceback(None)


def _answer(records: Sequence[Mapping[str, Any]], context: LambdaContext) -> dict[str, Any]:
    messages = [_message(record) for record in records if _sent_ms(record) is not None]
    written = _write(messages, context)
    outcomes, cause = written.outcomes, written.cause
    failed = [record["messageId"] for record in records if _sent_ms(record) is None] + [
        message.message_id
        for message, outcome in zip(messages, outcomes, strict=True)
        if outcome is Outcome.RETRY
    ]
    counts = Counter(outcomes)
    extra_fields = ExtraFields()
    extra_fields.merge(written.extra_fields)
    tell = _log().warning if failed else _log().info
    tell(
        "batch",
        request_id=context.aws_request_id,
        messages=len(records),
        **{outcome.value: counts[outcome] for outcome in Outcome},
        **{f"reason_{reason.value}": count for reason, count in written.reasons.items()},
        extra_fields=extra_fields.total,
        extra_field_names=extra_fields.most(),
        without_sent_timestamp=len(records) - len(messages),
        cause=cause.word if cause else None,
    )
    if cause is not None and len(failed) == len(records):
        raise cause
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _write(messages: Sequence[Message], context: LambdaContext) -> Written:
    """Write the messages, and try those that could not be written a second time.

    Lambda freezes the process between two calls, and the network may drop an idle connection meanwhile:
    the first use of that connection fails.
    """
    if not messages:
        return Written([], {}, {}, {}, None)
    writer = _writer()
    first = writer.write(messages)
    if not (isinstance(first.cause, UnavailableError) and _has_time(context)):
        return first
    again = [i for i, outcome in enumerate(first.outcomes) if outcome is Outcome.RETRY]
    second = writer.write([messages[i] for i in again])
    outcomes = list(first.outcomes)
    for i, outcome in zip(again, second.outcomes, strict=True):
        outcomes[i] = outcome
    return Written(
        outcomes,
        Counter(first.stored) + Counter(second.stored),
        Counter(first.reasons) + Counter(second.reasons),
        Counter(first.extra_fields) + Counter(second.extra_fields),
        second.cause,
    )


def _has_time(context: LambdaContext) -> bool:
    return context.get_remaining_time_in_millis() >= SECOND_TRY_MS


@functools.cache
def _writer() -> BatchWriter:
    """The writer that the first call of a process makes; later calls use it, and its keys until their lease ends."""
    forbid_core_dumps()
    forget_empty(os.environ)
    loaded, _ = settings.load(os.environ)
    queue = None if loaded.queue_url is None else queue_name(loaded.queue_url)
    parts = Parts(loaded, "vault-etl lambda")
    writer = batch_writer(parts, queue_parser(parts, queue))
    writer.prepare()
    return writer


@functools.cache
def _log() -> logs.Logger:
    """The log, always as JSON: the settings may be the error that it reports."""
    logs.configure("json", verbose=False, quiet=False)
    return logs.get_logger()


def _records(event: object) -> Sequence[Mapping[str, Any]]:
    """The records of an event of SQS. Raises ConfigurationError for any other event."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list) or not all(map(_is_of_sqs, records)):
        message = "this event is not of SQS"
        raise ConfigurationError(message, hint=_HINT)
    return records


def _is_of_sqs(record: object) -> bool:
    return (
        isinstance(record, Mapping)
        and record.get("eventSource") == "aws:sqs"
        and isinstance(record.get("messageId"), str)
        and record["messageId"].isascii()
        and isinstance(record.get("body"), str)
    )


def _sent_ms(record: Mapping[str, Any]) -> int | None:
    """The time of sending by SQS, in milliseconds. Without it there is no record id: no other clock may replace it."""
    sent = (record.get("attributes") or {}).get("SentTimestamp")
    return int(sent) if isinstance(sent, str) and _MILLISECONDS.fullmatch(sent) else None


def _message(record: Mapping[str, Any]) -> Message:
    return Message(
        message_id=record["messageId"],
        receipt_handle=record.get("receiptHandle", ""),
        body=Pii(record["body"].encode("utf-8", "surrogatepass")),
        sent_ms=_sent_ms(record) or 0,
        receive_count=int(record["attributes"].get("ApproximateReceiveCount", "1")),
    )
