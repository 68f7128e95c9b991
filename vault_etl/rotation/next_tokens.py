"""Make the next tokens of rows from what their ciphertexts hold."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace, key_id_in
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import PersonalValue
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim


@dataclass(frozen=True, slots=True)
class Generations:
    """The generation of the tokens that are in force, and the one that is to replace it."""

    active: int
    pending: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row with tokens, by their names: `ip`, `ip/network`. `generation` is the one that the row names for them."""

    place: EventName
    record_id: uuid.UUID
    user_id: str
    generation: int
    tokens: Mapping[FieldName, uuid.UUID]
    ciphertexts: Mapping[FieldName, bytes]
    next_tokens: Mapping[FieldName, uuid.UUID]


@dataclass(frozen=True, slots=True)
class NextTokens:
    """The next tokens of a row, valid while its tokens and ciphertexts are still those of `row`.

    A row without next tokens is left out: this is no error, and the row is not read again.
    """

    row: TokenRow
    tokens: Mapping[FieldName, uuid.UUID]


NewTokens = Mapping[uuid.UUID, Mapping[FieldName, uuid.UUID]]
"""The new tokens of each record, by their names."""


class NextTokenMaker:
    """Makes next tokens from the opened values, if a row's own token is of the same value.

    Rows whose generation is not in `old` get no next tokens.
    """

    def __init__(
        self, keys: WorkerKeys, opener: Opener, old: Sequence[Tokenizer], new: Tokenizer
    ) -> None:
        self._keys = keys
        self._opener = opener
        self._old = {tokenizer.generation: tokenizer for tokenizer in old}
        self._new = new

    def make(self, rows: Sequence[TokenRow]) -> NewTokens:
        """Make next tokens, except for rows that do not open, that hold another value's token, or that hold none.

        Raises what `ValueKeys.data_key` raises.
        """
        made: dict[uuid.UUID, Mapping[FieldName, uuid.UUID]] = {}
        while rows:
            done, more = self.make_in_time(rows, Claim())
            made |= more
            rows = rows[len(done) :]
        return made

    def make_in_time(
        self, rows: Sequence[TokenRow], claim: Claim
    ) -> tuple[Sequence[TokenRow], NewTokens]:
        """Make next tokens for as many rows, from the first on, as `WorkerKeys.of_rows` takes.

        Returns the rows that were taken, and their tokens as `make` does.
        """
        rows, keys = self._keys.of_rows(rows, claim.will_ask)
        claim.will_open(len(rows))
        made = {}
        for row in rows:
            # ValueError: the sealed value has no token, so no writer of this project sealed it.
            with contextlib.suppress(IntegrityError, ValueError):
                made[row.record_id] = {
                    name: token
                    for value in self._keys.personal[row.place]
                    for name, token in self._next(row, value, keys)
                }
        return rows, made

    def _next(
        self, row: TokenRow, declared: PersonalValue, keys: Mapping[int, DataKey]
    ) -> Sequence[tuple[FieldName, uuid.UUID]]:
        """Make the next tokens of a value, also of its derived forms; none for a value that is not there."""
        names = declared.token_names
        stored = [row.tokens.get(name) for name, _ in names]
        sealed = row.ciphertexts.get(declared.name)
        if sealed is None and not any(stored):
            return ()
        old = self._old.get(row.generation)
        if old is None or sealed is None:
            raise IntegrityError
        key = keys.get(Ciphertext.parse(sealed).key_id)
        if key is None:
            raise IntegrityError
        field = declared.field.name
        place = ValuePlace(row.place, declared.name, field, row.record_id, row.user_id)
        value = self._opener.open(sealed, place, key)
        if [old.token(field, value, derived) for _, derived in names] != stored:
            raise IntegrityError
        return [(name, self._new.token(field, value, derived)) for name, derived in names]


class RotationTokenMaker(NextTokenMaker):
    """Makes the pending generation's tokens for rows of the active generation."""

    def __init__(
        self, keys: WorkerKeys, opener: Opener, active: Tokenizer, pending: Tokenizer
    ) -> None:
        super().__init__(keys, opener, (active,), pending)
        self.generations = Generations(active.generation, pending.generation)


def keys_of(rows: Sequence[TokenRow]) -> set[int]:
    """The ids of the data keys that these rows are under."""
    return {key_id_in(sealed) for row in rows for sealed in row.ciphertexts.values()}
