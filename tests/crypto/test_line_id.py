"""Record ids of the lines of a file: a function of the source, the number and the day."""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.record_id import (
    MAX_LINES,
    MAX_MILLISECONDS,
    first_millisecond,
    milliseconds_of,
    record_id_of_line,
)

times = st.integers(0, MAX_MILLISECONDS)
numbers = st.integers(1, MAX_LINES)
sources = st.uuids()
SOURCE = uuid.UUID("0b5a7d5e-2f7a-4a3f-9d7a-6f4a1c9be2d3")


def oracle(source_id: uuid.UUID, number: int, milliseconds: int) -> uuid.UUID:
    """The rule of docs/formats.md, by arithmetic on one number of 128 bits."""
    hashed = b"vault-etl/1/line" + source_id.bytes + struct.pack(">Q", number)
    digest = hashlib.sha256(hashed).digest()
    made = milliseconds << 80 | int.from_bytes(digest[:10], "big")
    made = made & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=made & ~(3 << 62) | 2 << 62)


@given(sources, numbers, times)
def test_line_ids_agree_with_the_oracle(source_id: uuid.UUID, number: int, time: int) -> None:
    """A line id is a UUID of version 7 with the time of the oracle."""
    made = record_id_of_line(source_id, number, time)
    assert made == oracle(source_id, number, time)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert milliseconds_of(made) == time


@given(st.tuples(sources, numbers), st.tuples(sources, numbers))
def test_a_different_line_or_source_has_a_different_id(
    one: tuple[uuid.UUID, int], other: tuple[uuid.UUID, int]
) -> None:
    """Two equal lines are two events, and the same line of the same source is one."""
    assert (record_id_of_line(*one, 0) == record_id_of_line(*other, 0)) == (one == other)


@pytest.mark.parametrize("number", [0, -1, MAX_LINES + 1])
def test_a_number_that_does_not_fit_is_an_error(number: int) -> None:
    """Lines are counted from 1."""
    with pytest.raises(ValueError, match="64 bits"):
        record_id_of_line(SOURCE, number, 0)


@pytest.mark.parametrize("time", [-1, MAX_MILLISECONDS + 1])
def test_a_time_that_does_not_fit_is_an_error(time: int) -> None:
    """A time is never cut to fit."""
    with pytest.raises(ValueError, match="48 bits"):
        record_id_of_line(SOURCE, 1, time)


@pytest.mark.parametrize(
    ("day", "milliseconds"),
    [
        (dt.date(1970, 1, 1), 0),
        (dt.date(1969, 12, 31), -86_400_000),
        (dt.date(2024, 2, 29), 1_709_164_800_000),
        (dt.date(2026, 1, 1), 1_767_225_600_000),
        (dt.date(9999, 12, 31), 253_402_214_400_000),
    ],
)
def test_a_day_begins_at_midnight_utc(day: dt.date, milliseconds: int) -> None:
    """Every day from 1970 on fits a record id."""
    assert first_millisecond(day) == milliseconds
    assert milliseconds <= MAX_MILLISECONDS
