"""Writes behind the fence: their keys, their results, and how a writer repeats and halves them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.keys import DataKey

MAX_FENCE_TRIES: Final = 10
"""Times in a row that the keys may change under one write before an operator must find the cause."""

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class WriteKeys:
    """The keys that a batch is written under; the fence compares them with those in force."""

    generations: tuple[int, int | None]
    """Generations of the tokens: the active one, and the pending one or None."""
    data_keys: tuple[DataKey, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A committed batch. The ids are those of new rows; every other row was stored before."""

    record_ids: frozenset[uuid.UUID]
    rejection_ids: frozenset[uuid.UUID]


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """The fence found other keys than the batch was written under; no row is stored."""


@dataclass(frozen=True, slots=True)
class RowsRefused:
    """The database refused a value (SQLSTATE) of an unknown row of the batch; no row is stored."""

    sqlstate: str


@dataclass(frozen=True, slots=True)
class MonthUnattached:
    """A record's month was detached or dropped after the ranges were read; no row is stored."""


class FenceTries:
    """Counts the attempts of one write whose keys the fence refuses."""

    def __init__(self, forget_keys: Callable[[], object], unit: str) -> None:
        """`unit` names in the error what is written: a batch, a page."""
        self._forget_keys = forget_keys
        self._unit = unit
        self._refused = 0

    def keys_changed(self) -> None:
        """Drop the keys, so that the next attempt takes new ones.

        Raises IncompleteError after `MAX_FENCE_TRIES` attempts.
        """
        self._forget_keys()
        self._refused += 1
        if self._refused == MAX_FENCE_TRIES:
            message = f"the keys changed again and again under one {self._unit}"
            raise IncompleteError(
                message, hint="is a rotation running in a loop, or a clock wrong?"
            )


def by_halves(
    rows: Sequence[_Row],
    write: Callable[[Sequence[_Row]], tuple[Sequence[_Row], _Result | RowsRefused]],
) -> Iterator[tuple[Sequence[_Row], _Result | RowsRefused]]:
    """Write rows, and halve what the database refuses; yield each part with its result.

    A part that is yielded with `RowsRefused` has one row. `write` returns the rows as it wrote them, and
    the result. The caller handles each part before the next one is written.
    """
    rows, result = write(rows)
    if isinstance(result, RowsRefused) and len(rows) > 1:
        middle = len(rows) // 2
        yield from by_halves(rows[:middle], write)
        yield from by_halves(rows[middle:], write)
    else:
        yield rows, result
