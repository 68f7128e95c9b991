"""The partition that a name or a month means."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.declared import USER_LOGINS
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.records.months import (
    Partition,
    PartitionState,
    choose,
    months_around,
    next_month,
    parse_month,
)


def partition(
    name: str, first: dt.date, until: dt.date, state: PartitionState = PartitionState.ATTACHED
) -> Partition:
    """A partition with bounds at midnight."""
    begin, end = (uuid.UUID(int=first_millisecond(day) << 80) for day in (first, until))
    return Partition(USER_LOGINS, name, begin, end, state, None, 0, None)


MARCH = dt.date(2026, 3, 1)
APRIL = dt.date(2026, 4, 1)
MIDDLE = dt.date(2026, 3, 15)
WHOLE = partition("p_march", MARCH, APRIL)
HALVES = [partition("a", MARCH, MIDDLE), partition("b", MIDDLE, APRIL)]


def test_a_month_is_found_by_its_bounds() -> None:
    """The name does not count; the neighbouring months touch the month and do not match."""
    beside = [
        partition("x", dt.date(2026, 2, 1), MARCH),
        partition("y", APRIL, dt.date(2026, 5, 1)),
    ]
    assert choose([*beside, WHOLE], "2026-03") is WHOLE
    assert choose([*beside, WHOLE], "p_march") is WHOLE


def test_a_month_of_several_partitions_is_ambiguous() -> None:
    """The error lists each partition by its name."""
    with pytest.raises(UsageError, match="a, b"):
        choose(HALVES, "2026-03")
    assert choose(HALVES, "b") is HALVES[1]


def test_a_dropped_partition_is_meant_only_without_another() -> None:
    """A month that was made again is the month that is stored."""
    dropped = partition("old", MARCH, APRIL, PartitionState.DROPPED)
    assert choose([dropped], "2026-03") is dropped
    assert choose([dropped, WHOLE], "2026-03") is WHOLE


@pytest.mark.parametrize("wanted", ["2026-04", "p_april", "2026-13", ""])
def test_an_unknown_partition_is_not_found(wanted: str) -> None:
    """The exit code is 66."""
    with pytest.raises(NotFoundError):
        choose([WHOLE], wanted)


@pytest.mark.parametrize(
    "text", ["2026-00", "2026-13", "0000-01", "2026-3", "2026-03-01", "٢٠٢٦-03"]
)
def test_a_month_is_written_one_way(text: str) -> None:
    """A month is written YYYY-MM."""
    with pytest.raises(UsageError):
        parse_month(text)


def test_months_follow_each_other_over_the_end_of_a_year() -> None:
    """The months reach from two back to three ahead."""
    assert parse_month("2025-12") == dt.date(2025, 12, 1)
    assert next_month(dt.date(2025, 12, 1)) == dt.date(2026, 1, 1)
    assert months_around(dt.datetime(2026, 1, 31, tzinfo=dt.UTC)) == [
        dt.date(2025, 11, 1),
        dt.date(2025, 12, 1),
        *(dt.date(2026, month, 1) for month in (1, 2, 3, 4)),
    ]
