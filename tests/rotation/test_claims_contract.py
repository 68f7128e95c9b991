"""Claims: each range of a rotation has at most one worker at a time."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.rows import Writer, writer
from tests.kit.swaps import outside
from tests.rotation.begun import begin_data, claimed, scattered
from vault_etl.rotation.ranges import OpenRotation, RotationStep


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


@pytest.fixture
def rotation(bench: Bench, process: Writer) -> OpenRotation:
    """A rotation with a few ranges."""
    scattered(process)
    return begin_data(bench, slices=4)


def test_no_range_is_claimed_twice(bench: Bench, rotation: OpenRotation) -> None:
    """Each range has one claim, in their order, until no range is left; a claimed range is not finished."""
    ranges = [held for held, _ in bench.ranges(rotation.rotation_id)]
    assert len(ranges) > 3
    assert [held for _, held in claimed(bench, rotation)] == ranges
    assert bench.claims.unfinished(rotation.rotation_id).ranges == len(ranges)


def test_a_claim_without_renewal_is_free_after_ten_seconds(
    bench: Bench, rotation: OpenRotation
) -> None:
    """The claim is not free earlier."""
    (_, first), *_ = claimed(bench, rotation)
    bench.pass_lease(9)
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None
    bench.pass_lease(1.1)
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) == first


def test_a_freed_claim_is_free_at_once(bench: Bench, rotation: OpenRotation) -> None:
    """No other claim is freed."""
    ours, *_ = claimed(bench, rotation)
    bench.claims.free(uuid.uuid4())
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None
    bench.claims.free(ours[0])
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) == ours[1]
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None


def test_a_range_is_continued_where_it_was_left(bench: Bench, rotation: OpenRotation) -> None:
    """The next worker begins behind the rows that are done."""
    (claim, held), *_ = claimed(bench, rotation)
    after = uuid.UUID(int=held.first.int + 1)
    bench.reencrypter.replace([], [], RotationStep(claim, held, after, is_done=False))
    bench.claims.free(claim)
    next_claim = bench.claims.claim(rotation.rotation_id, uuid.uuid4())
    assert next_claim == dataclasses.replace(held, after=after)


def test_a_range_that_is_done_is_not_claimed_again(bench: Bench, rotation: OpenRotation) -> None:
    """The range counts as finished, and stays so when its claim ends."""
    everything = claimed(bench, rotation)
    (claim, held), *_ = everything
    bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    assert bench.claims.unfinished(rotation.rotation_id).ranges == len(everything) - 1
    bench.claims.free(claim)
    bench.pass_lease(11)
    assert held.first not in {r.first for _, r in claimed(bench, rotation)}


def test_a_step_outside_of_every_claim_moves_no_cursor(
    bench: Bench, rotation: OpenRotation
) -> None:
    """A step of an ended rotation moves no cursor either."""
    (claim, held), *_ = claimed(bench, rotation)
    before = bench.ranges(rotation.rotation_id)
    bench.reencrypter.replace([], [], outside(bench.event.name))
    assert bench.ranges(rotation.rotation_id) == before
    bench.data_rotations.end(rotation.rotation_id)
    bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    assert bench.claims.unfinished(rotation.rotation_id).ranges == 0


def test_a_step_moves_the_range_of_its_claim(bench: Bench, rotation: OpenRotation) -> None:
    """The step moves no other range of the same worker."""
    (_, first), (claim, second), (_, third), *_ = claimed(bench, rotation)
    bench.reencrypter.replace([], [], RotationStep(claim, second, second.last, is_done=True))
    there = {r.first: (r.after, is_done) for r, is_done in bench.ranges(rotation.rotation_id)}
    assert there[first.first] == there[third.first] == (None, False)
    assert there[second.first] == (second.last, True)
