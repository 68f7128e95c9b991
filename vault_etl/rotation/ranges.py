"""The work of a rotation that is under way: ranges of rows, pages of a range, and slices of a page."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from vault_etl.crypto.fields import EventName, FieldName

SLICES: Final = 5
"""Transactions that write one page. The partitions' fillfactor, 80, leaves room for a fifth of the rows."""

MIN_ROWS: Final = 50
"""Fewer rows lie on a page or two of the heap: one transaction writes them."""

MAX_NAMED_KEYS: Final = 32
"""Data keys that an entry names one by one. A reason has room for 500 characters."""


@dataclass(frozen=True, slots=True)
class Range:
    """Rows from `first` to `last`, both included. Those up to `after` are done."""

    place: EventName
    first: uuid.UUID
    last: uuid.UUID
    after: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRotation:
    """A rotation that has begun and not ended; any process may have begun it.

    `old_keys` are the keys that the rotation takes out of the rows. `retired` are the keys that this caller
    has just retired: none if the caller continues the rotation of another process.
    """

    rotation_id: uuid.UUID
    fields: tuple[FieldName, ...]
    old_keys: frozenset[int]
    retired: tuple[int, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """Rows that one claim read to open them, and the data keys that they are under."""

    rows: int = 0
    key_ids: frozenset[int] = frozenset()

    def and_also(self, rows: int, key_ids: Iterable[int]) -> OpenedRows:
        """Add rows and keys."""
        return OpenedRows(self.rows + rows, self.key_ids.union(key_ids))


NOTHING_OPENED: Final = OpenedRows()


def named_keys(key_ids: Iterable[int], at_most: int = MAX_NAMED_KEYS) -> str:
    """Data keys in the words of the audit log, as the SQL function `rotation_outcome` writes them."""
    ids = sorted(set(key_ids))
    if not ids:
        return "no data key"
    if len(ids) <= at_most:
        return f"data keys {', '.join(map(str, ids))}"
    lines = "".join(f"{key_id}\n" for key_id in ids)
    digest = hashlib.sha256(f"vault-etl/1/range-keys\n{lines}".encode()).hexdigest()
    return f"{len(ids)} data keys, SHA-256 {digest}"


@dataclass(frozen=True, slots=True)
class RotationStep:
    """The position of a worker in its range after a page: behind `after`, or at the end.

    `claim` identifies the claim of the range.
    """

    claim: uuid.UUID
    range: Range
    after: uuid.UUID | None
    is_done: bool


class HasRecordId(Protocol):
    """A row that has a record id."""

    @property
    def record_id(self) -> uuid.UUID:
        """The id of the record, or of the quarantined message."""


_Row_co = TypeVar("_Row_co", bound=HasRecordId, covariant=True)
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row_co]):
    """Rows in the order of their record ids. `is_last`: no row of the range follows."""

    rows: Sequence[_Row_co]
    is_last: bool

    def step(self, claim: uuid.UUID, at: Range, taken: int) -> RotationStep:
        """The position behind the first `taken` rows of this page of `at`."""
        after = self.rows[taken - 1].record_id if taken else at.after
        return RotationStep(claim, at, after, self.is_last and taken == len(self.rows))


@dataclass(frozen=True, slots=True)
class Swap:
    """The result of a compare-and-swap: rows that still held what was read, and values written to them."""

    rows: int
    values: int


def in_slices(
    rows: Sequence[_Row],
    step: RotationStep,
    write: Callable[[Sequence[_Row], RotationStep], Swap],
) -> Swap:
    """Write a page of rows in several transactions, each of which takes every fifth row; return the sum.

    The last transaction takes the step if the others wrote all of their rows; otherwise none does.

    An updated row gets a new version on its own page of the heap if that has room, and then no index is
    touched (HOT). The room of the old versions is free again as soon as their transaction is over. So five
    transactions need room for a fifth of the rows, and one transaction would need room for all of them
    (docs/adr/0039-rotation-without-bloat.md).
    """
    count = SLICES if len(rows) >= MIN_ROWS else 1
    stay = dataclasses.replace(step, after=None, is_done=False)
    total = Swap(0, 0)
    whole = True
    for number in range(count):
        part = rows[number::count]
        is_last = number == count - 1
        swap = write(part, step if is_last and whole else stay)
        whole = whole and swap.rows == len(part)
        total = Swap(total.rows + swap.rows, total.values + swap.values)
    return total


def first_and_last(record_ids: Iterable[uuid.UUID]) -> dict[str, uuid.UUID]:
    """Return the first and the last of these ids, which are one at least, as values of a statement."""
    ids = [record_id.int for record_id in record_ids]  # comparing UUIDs takes four times as long
    return {"first": uuid.UUID(int=min(ids)), "last": uuid.UUID(int=max(ids))}


def split(place: EventName, first: uuid.UUID, last: uuid.UUID, parts: int) -> Iterator[Range]:
    """Cut the record ids from `first` to `last` into `parts` ranges of equal width; fewer if there are fewer ids.

    Record ids of one month are spread evenly enough: their first bits are the time.
    """
    width = max(1, -(-(last.int - first.int + 1) // parts))
    for start in range(first.int, last.int + 1, width):
        end = min(start + width - 1, last.int)
        yield Range(place, uuid.UUID(int=start), uuid.UUID(int=end))
