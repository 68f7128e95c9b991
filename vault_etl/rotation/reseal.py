"""One page of rows: opened under their old keys, sealed anew, and swapped behind the fence."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError, IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace, key_id_in
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.crypto.keys import DataKey, StoredKey
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.old import KeyAtFault, OldKeys
from vault_etl.keys.ring import KeyRing
from vault_etl.platform.clock import Clock, Progress
from vault_etl.rotation.ranges import OpenRotation, Range, Step
from vault_etl.rotation.reencrypt import Replacement, Resealer, SealedRow, Swap
from vault_etl.rotation.slices import in_slices
from vault_etl.rotation.work_ranges import Claim, Paged

MAX_FENCE_TRIES: Final = 10

KEYS_WITHIN_S: Final = 3.0
"""For the keys of one page. A claim of its range lapses after 10 s, and a loader can put each row under other keys."""


class SealedFields(Protocol):
    """What a row holds under data keys."""

    @property
    def ciphertexts(self) -> Mapping[Field, bytes]:
        """Of each field that is not erased."""


_Row = TypeVar("_Row", bound=SealedFields)


class WorkersKeys:
    """The keys of one process, for its workers in turn: they come over one connection."""

    def __init__(self, ring: KeyRing, old: OldKeys, leases: DataKeyLeases, clock: Clock) -> None:
        self._ring = ring
        self._old = old
        self._leases = leases
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def made(self) -> Sequence[int]:
        """The ids of the keys that were made."""
        return self._leases.made

    def of_rows(
        self, rows: Sequence[_Row], ask: Callable[[int], object]
    ) -> tuple[Sequence[_Row], Mapping[int, DataKey]]:
        """As many of these rows, from the first on, as there is time for, and their keys by id.

        Keys that are at fault are not among them. `ask` is told of each key before it is opened.
        Raises what `OldKeys.data_key` raises.
        """
        ends = self._clock.monotonic() + KEYS_WITHIN_S
        asked, found = set[tuple[int, Field]](), dict[int, DataKey]()
        for place, row in enumerate(rows):
            for field, sealed in row.ciphertexts.items():
                wanted = key_id, _ = key_id_in(sealed), field
                if wanted in asked:
                    continue
                if place and self._clock.monotonic() > ends:
                    return rows[:place], found
                asked.add(wanted)
                ask(key_id)
                with self._lock:
                    key = self._old.data_key(key_id, field)
                if key is not None:
                    found[key_id] = key
        return rows, found

    def must_trust(self, *purposes: KeyPurpose) -> None:
        """See `OldKeys.must_trust`."""
        self._old.must_trust(*purposes)

    def at_fault(self) -> Sequence[KeyAtFault]:
        """See `OldKeys.at_fault`."""
        with self._lock:
            return self._old.at_fault()

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer | None]:
        """See `KeyRing.tokenizers`."""
        with self._lock:
            return self._ring.tokenizers()

    def old_tokenizers(self) -> Sequence[Tokenizer]:
        """See `KeyRing.old_tokenizers`."""
        with self._lock:
            return self._ring.old_tokenizers()

    def stored(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """See `KeyReader.keys`."""
        with self._lock:
            return self._ring.stored(key_ids)

    def new(self, seals: Mapping[Field, int]) -> Sequence[DataKey]:
        """A key for each field that is good for so many more seals."""
        with self._lock:
            return [self._leases.data_key(field, count) for field, count in seals.items()]

    def forget(self) -> None:
        """The fence said that one of the new keys may no longer be written under."""
        with self._lock:
            self._leases.forget()


class Resealing:
    """`PageWork` of a rotation of data keys."""

    def __init__(
        self,
        resealer: Resealer,
        keys: WorkersKeys,
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

    def _swap(self, opened: Sequence[_Opened], step: Step) -> Swap:
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
