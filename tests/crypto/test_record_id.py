"""Record ids: UUIDv7s that are a function of the message."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.record_id import MAX_MILLISECONDS, milliseconds_of, record_id_of_message

MESSAGE_ID = "5fea7756-0ea4-451a-a703-a558b933e274"

times = st.integers(0, MAX_MILLISECONDS)
message_ids = st.uuids().map(str) | st.text(st.characters(max_codepoint=127), min_size=1)


def oracle(message_id: str, sent_ms: int) -> uuid.UUID:
    """The rule of docs/design.md, Records, by arithmetic on one number of 128 bits."""
    digest = hashlib.sha256(b"vault-etl/1/record" + message_id.encode()).digest()
    number = sent_ms << 80 | int.from_bytes(digest[:10], "big")
    number = number & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=number & ~(3 << 62) | 2 << 62)


def test_a_known_record_id() -> None:
    """A redelivered message meets its row by it, today and in ten years."""
    known = uuid.UUID("019b76da-a87b-73e6-8074-f1e73a6ddeb4")
    assert record_id_of_message(MESSAGE_ID, 1_767_225_600_123) == known
    assert oracle(MESSAGE_ID, 1_767_225_600_123) == known


@given(message_ids, times)
def test_record_ids_agree_with_the_oracle(message_id: str, sent_ms: int) -> None:
    """The ids agree for every message and time."""
    assert record_id_of_message(message_id, sent_ms) == oracle(message_id, sent_ms)


@given(message_ids, times)
def test_a_record_id_is_a_uuid_of_version_7(message_id: str, sent_ms: int) -> None:
    """RFC 9562: version 7, the standard variant, and the time in the first 48 bits."""
    made = record_id_of_message(message_id, sent_ms)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert milliseconds_of(made) == sent_ms


@given(message_ids, message_ids, times, times)
def test_later_messages_have_greater_ids(one: str, other: str, a: int, b: int) -> None:
    """Inserts stay at the right edge of the index."""
    early, late = sorted((a, b))
    if early < late:
        assert record_id_of_message(one, early) < record_id_of_message(other, late)


@given(message_ids, message_ids, times)
def test_two_messages_of_one_moment_have_two_ids(one: str, other: str, sent_ms: int) -> None:
    """One message always has the same id."""
    same = record_id_of_message(one, sent_ms) == record_id_of_message(other, sent_ms)
    assert same == (one == other)


@pytest.mark.parametrize("sent_ms", [0, MAX_MILLISECONDS])
def test_the_first_and_last_milliseconds_fit(sent_ms: int) -> None:
    """A record id has 48 bits of milliseconds."""
    assert milliseconds_of(record_id_of_message(MESSAGE_ID, sent_ms)) == sent_ms


@pytest.mark.parametrize("sent_ms", [-1, MAX_MILLISECONDS + 1])
def test_a_time_that_does_not_fit_is_an_error(sent_ms: int) -> None:
    """A time is never cut to fit."""
    with pytest.raises(ValueError, match="48 bits"):
        record_id_of_message(MESSAGE_ID, sent_ms)


def test_a_message_id_is_ascii() -> None:
    """Two encodings of one id would be two records."""
    with pytest.raises(ValueError, match="ascii"):
        record_id_of_message("é", 0)
