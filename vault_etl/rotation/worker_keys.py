"""The keys of one process, which its workers take in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.crypto.fields import EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, StoredKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import Declaration
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import KeyRing
from vault_etl.keys.value_keys import KeyAtFault, ValueKeys
from vault_etl.platform.clock import Clock

KEYS_WITHIN_S: Final = 3.0
"""Seconds for the keys of one page. A claim lapses after 10 s, and a loader can put each row under other keys."""


class SealedValues(Protocol):
    """A row with values under data keys."""

    @property
    def place(self) -> EventName:
        """The table of the row."""

    @property
    def ciphertexts(self) -> Mapping[FieldName, bytes]:
        """The ciphertext of each value that is not erased, by the name of the value."""


_Row = TypeVar("_Row", bound=SealedValues)


class WorkerKeys:
    """Keys of a process for all of its workers, behind a lock: the keys come over one connection.

    `fields` has the field of each value, by table and by the name of the value, and `personal` the values by event.
    """

    def __init__(
        self,
        ring: KeyRing,
        value_keys: ValueKeys,
        leases: DataKeyLeases,
        clock: Clock,
        declaration: Declaration,
    ) -> None:
        self.fields = declaration.fields_of_values
        self.personal = {event.name: event.personal for event in declaration.events}
        self._ring = ring
        self._value_keys = value_keys
        self._leases = leases
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def made(self) -> Sequence[int]:
        """The ids of the keys that this process has made."""
        return self._leases.made

    def of_rows(
        self, rows: Sequence[_Row], ask: Callable[[int], object]
    ) -> tuple[Sequence[_Row], Mapping[int, DataKey]]:
        """Take as many rows, from the first on, as `KEYS_WITHIN_S` allows; return them, and their keys by id.

        Keys that are at fault are left out. `ask` receives the id of each key before the key is opened.
        Raises what `ValueKeys.data_key` raises.
        """
        ends = self._clock.monotonic() + KEYS_WITHIN_S
        found = dict[int, DataKey]()
        for (key_id, field), number in self._first_rows(rows).items():
            if number and self._clock.monotonic() > ends:
                return rows[:number], found
            ask(key_id)
            with self._lock:
                key = self._value_keys.data_key(key_id, field)
            if key is not None:
                found[key_id] = key
        return rows, found

    def _first_rows(self, rows: Sequence[_Row]) -> Mapping[tuple[int, FieldName], int]:
        """Return the number of the first row under each key, in the order of these numbers."""
        first = dict[tuple[int, FieldName], int]()
        for number, row in enumerate(rows):
            fields = self.fields[row.place]
            for name, sealed in row.ciphertexts.items():
                first.setdefault((key_id_in(sealed), fields[name]), number)
        return first

    def must_trust(self, *purposes: KeyPurpose) -> None:
        """Raise what `ValueKeys.must_trust` raises for a KMS key that is not trusted."""
        self._value_keys.must_trust(*purposes)

    def at_fault(self) -> Sequence[KeyAtFault]:
        """The keys that this process could not open, those with the most values first."""
        with self._lock:
            return self._value_keys.at_fault()

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer | None]:
        """The tokenizers of the active generation, and of the pending one if it exists."""
        with self._lock:
            return self._ring.tokenizers()

    def old_tokenizers(self) -> Sequence[Tokenizer]:
        """The tokenizers of retired generations, as `KeyRing.old_tokenizers` returns them."""
        with self._lock:
            return self._ring.old_tokenizers()

    def stored(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """The stored keys of these ids; unknown ids are left out."""
        with self._lock:
            return self._ring.stored(key_ids)

    def new(self, seals: Mapping[FieldName, int]) -> Sequence[DataKey]:
        """A data key for each field, good for that many more seals."""
        with self._lock:
            return [self._leases.data_key(field, count) for field, count in seals.items()]

    def forget(self) -> None:
        """Drop the new keys: the fence refused one of them."""
        with self._lock:
            self._leases.forget()
