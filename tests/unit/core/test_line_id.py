"""Record ids of the lines of a file: a function of the file, the number, the line and the day."""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.core.digest import MAX_PREFIXED_BYTES
from vault_etl.core.record_id import (
    MAX_LINES,
    MAX_MILLISECONDS,
    first_millisecond,
    milliseconds_of,
    record_id_of_line,
)

times = st.integers(0, MAX_MILLISECONDS)
numbers = st.integers(1, MAX_LINES)
sources = st.binary(max_size=40)
lines = st.binary(max_size=100)


def oracle(source: bytes, number: int, line: bytes, milliseconds: int) -> uuid.UUID:
    """The rule of docs/formats.md, by arithmetic on one number of 128 bits."""
    hashed = b"vault-etl/1/line" + struct.pack(">H", len(source)) + source
    digest = hashlib.sha256(hashed + struct.pack(">Q", number) + line).digest()
    made = milliseconds << 80 | int.from_bytes(digest[:10], "big")
    made = made & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=made & ~(3 << 62) | 2 << 62)


@given(sources, numbers, lines, times)
def test_it_agrees_with_the_oracle(source: bytes, number: int, line: bytes, time: int) -> None:
    """And is a UUID of version 7 with that time."""
    made = record_id_of_line(source, number, line, time)
    assert made == oracle(source, number, line, time)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert milliseconds_of(made) == time


@given(st.tuples(sources, numbers, lines), st.tuples(sources, numbers, lines))
def test_what_is_not_the_same_line_of_the_same_file_has_another_id(
    one: tuple[bytes, int, bytes], other: tuple[bytes, int, bytes]
) -> None:
    """Two equal lines are two events, and the same line of the same file is one."""
    assert (record_id_of_line(*one, 0) == record_id_of_line(*other, 0)) == (one == other)


def test_the_end_of_a_source_and_the_beginning_of_a_line_do_not_run_together() -> None:
    """Each part has a length of its own."""
    number = (1).to_bytes(8, "big")
    assert record_id_of_line(b"a", 1, number + b"x", 0) != record_id_of_line(
        b"a" + number, 1, b"x", 0
    )


@pytest.mark.parametrize("number", [0, -1, MAX_LINES + 1])
def test_a_number_that_does_not_fit_is_an_error(number: int) -> None:
    """Lines are counted from 1."""
    with pytest.raises(ValueError, match="64 bits"):
        record_id_of_line(b"s", number, b"", 0)


@pytest.mark.parametrize("time", [-1, MAX_MILLISECONDS + 1])
def test_a_time_that_does_not_fit_is_an_error(time: int) -> None:
    """It is never cut to fit."""
    with pytest.raises(ValueError, match="48 bits"):
        record_id_of_line(b"s", 1, b"", time)


def test_a_source_that_does_not_fit_is_an_error() -> None:
    """Its length has 16 bits."""
    assert record_id_of_line(b"s" * MAX_PREFIXED_BYTES, 1, b"", 0).version == 7
    with pytest.raises(ValueError, match="16 bits"):
        record_id_of_line(b"s" * (MAX_PREFIXED_BYTES + 1), 1, b"", 0)


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
    """And every day from 1970 on fits a record id."""
    assert first_millisecond(day) == milliseconds
    assert milliseconds <= MAX_MILLISECONDS
