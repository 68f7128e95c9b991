"""Where ciphertexts are read and swapped for new ones."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError, IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace, key_id_in
from vault_etl.crypto.fields import Field, Table
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.sealing import Sealer
from vault_etl.platform.clock import Progress
from vault_etl.rotation.ranges import (
    OpenRotation,
    Page,
    Range,
    RotationStep,
    in_slices,
)
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim, Paged


@dataclass(frozen=True, slots=True)
class SealedRow:
    """The ciphertexts of a row that a rotation is about. `user_id` is empty in quarantine."""

    place: Table
    record_id: uuid.UUID
    user_id: str
    ciphertexts: Mapping[Field, bytes]


@dataclass(frozen=True, slots=True)
class Replacement:
    """New ciphertexts for a row that still holds the old ones."""

    row: SealedRow
    ciphertexts: Mapping[Field, bytes]


@dataclass(frozen=True, slots=True)
class Swap:
    """How many rows still held the old bytes, and how many values were swapped in them."""

    rows: int
    values: int


class Reencrypter(Protocol):
    """May read ciphertexts and replace them by compare-and-swap."""

    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        """The next rows with a value of the rotation's fields under a key that it retires.

        Or under a key that is unknown, destroyed or of another field, which nothing opens.
        """

    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: RotationStep
    ) -> Swap | None:
        """Swap old bytes for new ones behind the fence, in rows that still hold the old ones.

        In the same transaction the range is moved on as `step` says, if these are all of them: else
        some are to be read again. None, and nothing is written, if the fence found that one of
        `keys` may no longer be written under.
        """

    def left(self, rotation: OpenRotation) -> Remaining:
        """What `page` would still find, in all ranges and in none."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a rotation could not do: how many values, and the first of their records."""

    values: int
    record_ids: tuple[uuid.UUID, ...]


MAX_FENCE_TRIES: Final = 10


class Reencrypting:
    """`PageWork` of a rotation of data keys."""

    def __init__(
        self,
        resealer: Reencrypter,
        keys: WorkerKeys,
        opener: Opener,
        rotation: OpenRotation,
        progress: Progress,
    ) -> None:
        self._resealer = resealer
        self._keys = keys
        self._opener = opener
        self._rotation = rotation
        self._progress = progress
        self.done = 0

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """See `PageWork.page`. A value that does not open is left as it is, and passed.

        Raises KeyUnavailableError, UnavailableError, and IncompleteError if the keys change again
        and again.
        """
        page = self._resealer.page(self._rotation, at, limit)
        rows, keys = self._keys.of_rows(page.rows, claim.will_ask)
        claim.will_open(len(rows))
        step = page.step(claim.claim_id, at, len(rows))
        opened = self._open(rows, keys)
        swaps = in_slices(opened, step, self._swap, lambda each: each.rows)
        swap = Swap(sum(each.rows for each in swaps), sum(each.values for each in swaps))
        self.done += swap.values
        self._progress.advance(swap.values, place=at.place.value)
        return Paged(len(rows), step if swap.rows == len(opened) else None)

    def _open(self, rows: Sequence[SealedRow], keys: Mapping[int, DataKey]) -> list[_Opened]:
        opened = []
        for row in rows:
            values = {}
            for field, sealed in row.ciphertexts.items():
                key = keys.get(key_id_in(sealed))
                if key is None:
                    continue
                place = _place(row, field)
                try:
                    values[field] = place, self._opener.open(sealed, place, key)
                except IntegrityError:
                    continue
            if values:
                opened.append(_Opened(row, values))
        return opened

    def _swap(self, opened: Sequence[_Opened], step: RotationStep) -> Swap:
        seals = Counter(field for row in opened for field in row.values)
        for _ in range(MAX_FENCE_TRIES):
            keys = self._keys.new(seals)
            sealer = Sealer(keys)
            swap = self._resealer.replace(
                [
                    Replacement(
                        each.row,
                        {f: sealer.seal(value, place) for f, (place, value) in each.values.items()},
                    )
                    for each in opened
                ],
                keys,
                step,
            )
            if swap is not None:
                return swap
            self._keys.forget()
        message = "the keys changed again and again under one page"
        raise IncompleteError(message, hint="is another rotation running in a loop?")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A row, and what it holds of the rotation's fields, each with its place."""

    row: SealedRow
    values: Mapping[Field, tuple[ValuePlace, Pii]]


def _place(row: SealedRow, field: Field) -> ValuePlace:
    if field is Field.QUARANTINE:
        return ValuePlace.in_quarantine(row.record_id)
    return ValuePlace.in_record(field, row.record_id, row.user_id)
