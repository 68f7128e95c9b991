"""TODO."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.crypto.keys import DataKey, StoredKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.old import KeyAtFault, OldKeys
from vault_etl.keys.ring import KeyRing
from vault_etl.platform.clock import Clock

KEYS_WITHIN_S: Final = 3.0
"""For the keys of one page. A claim of its range lapses after 10 s, and a loader can put each row under other keys."""


class SealedFields(Protocol):
    """What a row holds under data keys."""

    @property
    def ciphertexts(self) -> Mapping[Field, bytes]:
        """Of each field that is not erased."""


_Row = TypeVar("_Row", bound=SealedFields)


class WorkerKeys:
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
