"""Where ciphertexts are read and swapped for new ones."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.crypto.fields import Field, Table
from vault_etl.crypto.keys import DataKey
from vault_etl.rotation.ranges import OpenRotation, Page, Range, Step
from vault_etl.rotation.rotations import Left


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


class Resealer(Protocol):
    """May read ciphertexts and replace them by compare-and-swap."""

    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        """The next rows with a value of the rotation's fields under a key that it retires.

        Or under a key that is unknown, destroyed or of another field, which nothing opens.
        """

    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: Step
    ) -> Swap | None:
        """Swap old bytes for new ones behind the fence, in rows that still hold the old ones.

        In the same transaction the range is moved on as `step` says, if these are all of them: else
        some are to be read again. None, and nothing is written, if the fence found that one of
        `keys` may no longer be written under.
        """

    def left(self, rotation: OpenRotation) -> Left:
        """What `page` would still find, in all ranges and in none."""
