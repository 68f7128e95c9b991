"""A rotation that is under way, and the stretches of rows that its workers go through."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from vault_etl.crypto.fields import Field, Table


@dataclass(frozen=True, slots=True)
class Range:
    """Rows from `first` to `last`, both included, of which those up to `after` are done."""

    place: Table
    first: uuid.UUID
    last: uuid.UUID
    after: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRotation:
    """A rotation that has begun and not ended, whoever began it.

    `old_keys` are those that it takes the rows away from. `retired` are those that the caller has
    retired just now: none if it goes on with what another process began.
    """

    rotation_id: uuid.UUID
    fields: tuple[Field, ...]
    old_keys: frozenset[int]
    retired: tuple[int, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """What was opened under one claim: how many rows were read for it, and the data keys they were under."""

    rows: int = 0
    key_ids: frozenset[int] = frozenset()

    def and_also(self, rows: int, key_ids: Iterable[int]) -> OpenedRows:
        """These and more."""
        return OpenedRows(self.rows + rows, self.key_ids.union(key_ids))


MAX_NAMED_KEYS: Final = 32
"""More do not fit into a reason of 500 characters."""


def named_keys(key_ids: Iterable[int], at_most: int = MAX_NAMED_KEYS) -> str:
    """Data keys as the audit log names them; `rotation_outcome` (0009) does the same."""
    ids = sorted(set(key_ids))
    if not ids:
        return "no data key"
    if len(ids) <= at_most:
        return f"data keys {', '.join(map(str, ids))}"
    lines = "".join(f"{key_id}\n" for key_id in ids)
    digest = hashlib.sha256(f"vault-etl/1/range-keys\n{lines}".encode()).hexdigest()
    return f"{len(ids)} data keys, SHA-256 {digest}"


NOTHING_OPENED: Final = OpenedRows()


@dataclass(frozen=True, slots=True)
class RotationStep:
    """How far one worker is in its range after a page: behind `after`, or at the end.

    `claim` is what the range is claimed by.
    """

    claim: uuid.UUID
    range: Range
    after: uuid.UUID | None
    is_done: bool


class _HasRecordId(Protocol):
    @property
    def record_id(self) -> uuid.UUID: ...


_Row_co = TypeVar("_Row_co", bound=_HasRecordId, covariant=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row_co]):
    """Some rows in the order of their record ids; the last ones of their range or not."""

    rows: Sequence[_Row_co]
    is_last: bool

    def step(self, claim: uuid.UUID, at: Range, taken: int) -> RotationStep:
        """The cursor behind the first `taken` rows of this page of `at`."""
        after = self.rows[taken - 1].record_id if taken else at.after
        return RotationStep(claim, at, after, self.is_last and taken == len(self.rows))


def split(place: Table, first: uuid.UUID, last: uuid.UUID, parts: int) -> Iterator[Range]:
    """Cut a stretch of record ids into so many ranges of equal width, or fewer if it is narrower.

    Record ids of one month are spread evenly, near enough: their first bits are the time.
    """
    width = max(1, -(-(last.int - first.int + 1) // parts))
    for start in range(first.int, last.int + 1, width):
        end = min(start + width - 1, last.int)
        yield Range(place, uuid.UUID(int=start), uuid.UUID(int=end))


SLICES: Final = 5
"""The partitions' fillfactor, 80, leaves room for one of so many."""

MIN_ROWS: Final = 50
"""Fewer rows lie on a page or two of the heap: they are one transaction."""

_Row = TypeVar("_Row")
_Written = TypeVar("_Written")


def in_slices(
    rows: Sequence[_Row],
    step: RotationStep,
    write: Callable[[Sequence[_Row], RotationStep], _Written],
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
