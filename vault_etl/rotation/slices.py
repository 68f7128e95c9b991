"""A page of rows in several transactions, each of which takes every so-manieth row.

A row that is updated gets a new version on its own page of the heap if there is room, and no index is
touched then (HOT). The room that the old versions take is free again as soon as their transaction is
over: so five transactions need the room of a fifth of the rows, and one would need that of all
(docs/adr/0039-rotation-without-bloat.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from vault_etl.rotation.ranges import Step

SLICES: Final = 5
"""The partitions' fillfactor, 80, leaves room for one of so many."""

MIN_ROWS: Final = 50
"""Fewer rows lie on a page or two of the heap: they are one transaction."""

_Row = TypeVar("_Row")
_Written = TypeVar("_Written")


def in_slices(
    rows: Sequence[_Row],
    step: Step,
    write: Callable[[Sequence[_Row], Step], _Written],
    rows_of: Callable[[_Written], int],
) -> list[_Written]:
    """Write the rows slice by slice, in order of place; what each has answered.

    The last slice takes the step, if all rows of the others were written; else none does.
    """
    count = SLICES if len(rows) >= MIN_ROWS else 1
    stay = dataclasses.replace(step, after=None, is_done=False)
    answers: list[_Written] = []
    whole = True
    for number in range(count):
        part = rows[number::count]
        is_last = number == count - 1
        answer = write(part, step if is_last and whole else stay)
        whole = whole and rows_of(answer) == len(part)
        answers.append(answer)
    return answers
