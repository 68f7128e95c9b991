"""Re-encrypt a page of rows: open values under old keys, seal them under new ones, and swap them behind the fence."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.sealing import Sealer, new_nonces
from vault_etl.platform.clock import Progress
from vault_etl.records.fenced_writes import FenceTries
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, Swap
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim, Paged, write_page


class SealedRow(NamedTuple):
    """The ciphertexts of a row that a rotation replaces, by name. `user_id` is empty in quarantine."""

    place: EventName
    record_id: uuid.UUID
    user_id: str
    ciphertexts: Mapping[FieldName, bytes]


class Replacement(NamedTuple):
    """New ciphertexts for a row that still holds the old ones."""

    row: SealedRow
    ciphertexts: Mapping[FieldName, bytes]


@dataclass(frozen=True, slots=True)
class Remaining:
    """Values that a rotation could not re-encrypt, and the first of their records."""

    values: int
    record_ids: tuple[uuid.UUID, ...]


class Reencrypter(Protocol):
    """Reads ciphertexts and replaces them by compare-and-swap."""

    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        """Read the next rows with a value of the rotation's fields under a key that the rotation retires.

        Rows under a key that is unknown, destroyed or of another field are read too; no key opens them.
        """

    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: RotationStep
    ) -> Swap | None:
        """Swap old bytes for new ones behind the fence, in rows that still hold the old ones.

        The same transaction moves the range on as `step` says if it swapped all rows; otherwise some rows are
        to be read again. Returns None, and writes nothing, if the fence refuses one of `keys`.
        """

    def remaining(self, rotation: OpenRotation) -> Remaining:
        """Count the values that `page` would still find, inside and outside of the ranges."""


class ReencryptPages:
    """`PageWork` of a rotation of data keys. `done` counts the values that it has replaced."""

    def __init__(
        self,
        reencrypter: Reencrypter,
        keys: WorkerKeys,
        opener: Opener,
        rotation: OpenRotation,
        progress: Progress,
    ) -> None:
        self._reencrypter = reencrypter
        self._keys = keys
        self._opener = opener
        self._rotation = rotation
        self._progress = progress
        self.done = 0

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """Re-encrypt a page. A value that does not open stays as it is, and is passed.

        Raises KeyUnavailableError, UnavailableError, and IncompleteError if the keys change again
        and again.
        """
        page = self._reencrypter.page(self._rotation, at, limit)
        rows, keys = self._keys.of_rows(page.rows, claim.will_ask)
        claim.will_open(len(rows))
        opened = self._open(rows, keys)
        swap, paged = write_page(page, len(rows), opened, at, claim, self._swap)
        self.done += swap.values
        self._progress.advance(swap.values, place=at.place)
        return paged

    def _open(self, rows: Sequence[SealedRow], keys: Mapping[int, DataKey]) -> list[_Opened]:
        if not rows:
            return []
        place = rows[0].place
        openers = {
            name: self._opener.of_value(place, name, field, keys)
            for name, field in self._keys.fields[place].items()
        }
        opened = []
        for row in rows:
            record_id, user_id = row.record_id.bytes, lp(row.user_id)
            values = {}
            for name, sealed in row.ciphertexts.items():
                try:
                    values[name] = openers[name].open(sealed, record_id, user_id)
                except IntegrityError:
                    continue
            if values:
                opened.append(_Opened(row, record_id, user_id, values))
        return opened

    def _swap(self, opened: Sequence[_Opened], step: RotationStep) -> Swap:
        tries = FenceTries(self._keys.forget, "page")
        while (swap := self._seal_and_swap(opened, step)) is None:
            tries.keys_changed()
        return swap

    def _seal_and_swap(self, opened: Sequence[_Opened], step: RotationStep) -> Swap | None:
        place = step.range.place
        fields = self._keys.fields[place]
        seals = Counter(fields[name] for row in opened for name in row.values)
        keys = self._keys.new(seals)
        sealer, nonces = Sealer(keys), new_nonces()
        sealers = {
            name: sealer.of_value(place, name, field, nonces).seal
            for name, field in fields.items()
            if field in seals
        }
        replacements = [
            Replacement(
                each.row,
                {
                    n: sealers[n](value, each.record_id, each.user_id)
                    for n, value in each.values.items()
                },
            )
            for each in opened
        ]
        return self._reencrypter.replace(replacements, keys, step)


class _Opened(NamedTuple):
    """A row, its id of 16 bytes, its user id behind its length, and its opened values by name."""

    row: SealedRow
    record_id: bytes
    user_id: bytes
    values: Mapping[FieldName, Pii]
