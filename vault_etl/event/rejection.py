"""Reasons why a message cannot be a record, and the place of the fault in the message.

The parser (`event/`) decides most of them, `records.messages` those of the month, and
`records.write_batch` the rows that the database refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The reason why a message cannot be a record: the `reason_code` of its row in the quarantine."""

    BODY_TOO_LARGE = "body_too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NESTED_TOO_DEEP = "nested_too_deep"
    NOT_AN_OBJECT = "not_an_object"
    SEVERAL_EVENTS = "several_events"
    ENVELOPE_S3_EVENT = "envelope_s3_event"
    ENVELOPE_S3_POINTER = "envelope_s3_pointer"
    ENVELOPE_SNS_CONTROL = "envelope_sns_control"
    NO_EVENT = "no_event"
    FIELD_TWICE = "field_twice"
    FIELD_MISSING = "field_missing"
    FIELD_NULL = "field_null"
    FIELD_NOT_TEXT = "field_not_text"
    FIELD_EMPTY = "field_empty"
    FIELD_TOO_LONG = "field_too_long"
    FIELD_NOT_STORABLE = "field_not_storable"
    NOT_AN_ADDRESS = "not_an_address"
    NOT_AN_EMAIL = "not_an_email"
    NOT_A_PHONE = "not_a_phone"
    NOT_A_UUID = "not_a_uuid"
    NOT_DIGITS = "not_digits"
    NOT_A_NUMBER = "not_a_number"
    NOT_A_BOOLEAN = "not_a_boolean"
    NOT_A_DATE = "not_a_date"
    TIME_WITHOUT_ZONE = "time_without_zone"
    UNKNOWN_FIELD = "unknown_field"
    SENT_OUT_OF_RANGE = "sent_out_of_range"
    MONTH_CLOSED = "month_closed"
    REFUSED_BY_DATABASE = "refused_by_database"


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why a body is not an event, and a JSONPath such as `$.ip`, never the value."""

    reason: Reason
    path: str = "$"


class RejectedError(Exception):
    """Carry a rejection out of nested calls of the parser."""

    def __init__(self, reason: Reason, path: str = "$") -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, path)
