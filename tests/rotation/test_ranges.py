"""An interval of record ids is cut into ranges."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kit.declared import USER_LOGINS
from vault_etl.crypto.fields import QUARANTINE_TABLE
from vault_etl.rotation.ranges import Range, split

ZERO, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)

IDS = st.integers(0, 2**128 - 1)
NEAR = st.tuples(IDS, st.integers(0, 100)).map(lambda n: (n[0], min(n[0] + n[1], 2**128 - 1)))
BOUNDS = st.one_of(NEAR, st.tuples(IDS, IDS).map(lambda n: (min(n), max(n))))


@given(bounds=BOUNDS, parts=st.integers(1, 64))
@example(bounds=(0, 2**128 - 1), parts=16)
@example(bounds=(0, 0), parts=16)
@example(bounds=(2**128 - 1, 2**128 - 1), parts=1)
def test_ranges_cover_the_interval_once(bounds: tuple[int, int], parts: int) -> None:
    """The ranges are in order, without a gap or an overlap, from the first id to the last."""
    first, last = (uuid.UUID(int=n) for n in bounds)
    ranges = list(split(USER_LOGINS, first, last, parts))
    assert ranges[0].first == first
    assert ranges[-1].last == last
    assert all(r.first <= r.last for r in ranges)
    for one, other in itertools.pairwise(ranges):
        assert other.first.int == one.last.int + 1
    assert {(r.place, r.after) for r in ranges} == {(USER_LOGINS, None)}


@given(bounds=BOUNDS, parts=st.integers(1, 64))
def test_ranges_are_at_most_as_many_as_asked_for_and_of_one_width(
    bounds: tuple[int, int], parts: int
) -> None:
    """Only the last range may be narrower."""
    first, last = (uuid.UUID(int=n) for n in bounds)
    ranges = list(split(USER_LOGINS, first, last, parts))
    assert 1 <= len(ranges) <= parts
    widths = [r.last.int - r.first.int + 1 for r in ranges]
    assert len(set(widths[:-1])) <= 1
    assert widths[-1] <= widths[0]
    assert widths[0] * parts < (last.int - first.int + 1) + parts


@pytest.mark.parametrize("only", [ZERO, uuid.UUID(int=7), LAST])
def test_one_record_is_one_range(only: uuid.UUID) -> None:
    """The requested number of ranges has no effect."""
    assert list(split(QUARANTINE_TABLE, only, only, 16)) == [Range(QUARANTINE_TABLE, only, only)]


def test_the_interval_of_all_ids_can_be_cut() -> None:
    """The first bits of an id decide."""
    ranges = list(split(USER_LOGINS, ZERO, LAST, 16))
    assert [r.first.int >> 124 for r in ranges] == list(range(16))
    assert ranges[-1].last == LAST
