"""A page in several transactions: each row is written once, and the cursor moves last, if all rows were written."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from tests.kit.declared import USER_LOGINS
from vault_etl.rotation.ranges import MIN_ROWS, SLICES, Range, RotationStep, Swap, in_slices

LAST = uuid.UUID(int=9)
STEP = RotationStep(
    uuid.UUID(int=1), Range(USER_LOGINS, uuid.UUID(int=0), LAST), LAST, is_done=True
)


@pytest.mark.parametrize("rows", [0, 1, MIN_ROWS - 1, MIN_ROWS, 1_000])
@pytest.mark.parametrize("partial", [None, 0, SLICES - 1])
def test_each_row_is_written_once_and_the_step_is_taken_last(
    rows: int, partial: int | None
) -> None:
    """A row that changed meanwhile, in any slice, keeps the cursor where it is."""
    written: list[int] = []
    steps: list[RotationStep] = []

    answers: list[int] = []

    def write(part: Sequence[int], step: RotationStep) -> Swap:
        missed = bool(part) and len(steps) == partial
        written.extend(part)
        steps.append(step)
        answers.append(len(part) - missed)
        return Swap(answers[-1], 2 * answers[-1])

    swap = in_slices(range(rows), STEP, write)
    assert swap == Swap(sum(answers), 2 * sum(answers))
    assert sorted(written) == list(range(rows))
    assert len(answers) == (SLICES if rows >= MIN_ROWS else 1)
    assert all((step.after, step.is_done) == (None, False) for step in steps[:-1])
    is_whole = sum(answers[:-1]) == len(written) - len(
        range(rows)[len(answers) - 1 :: len(answers)]
    )
    assert (steps[-1] == STEP) is is_whole


def test_neighbours_are_not_written_together() -> None:
    """Any five adjacent rows are in five transactions."""
    slices: list[Sequence[int]] = []

    def write(part: Sequence[int], step: RotationStep) -> Swap:
        del step
        slices.append(part)
        return Swap(len(part), len(part))

    in_slices(range(MIN_ROWS), STEP, write)
    assert [list(part)[:2] for part in slices] == [[n, n + SLICES] for n in range(SLICES)]
