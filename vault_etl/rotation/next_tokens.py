"""Make the next tokens of rows from what their ciphertexts hold."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vault_etl.audit.opening import Opener, ValueOpener
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.declaration.model import PersonalValue
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim


@dataclass(frozen=True, slots=True)
class Generations:
    """The generation of the tokens that are in force, and the one that is to replace it."""

    active: int
    pending: int


class TokenRow(NamedTuple):
    """A row with tokens, by their names: `ip`, `ip/network`. `generation` is the one that the row names for them."""

    place: EventName
    record_id: uuid.UUID
    user_id: str
    generation: int
    tokens: Mapping[FieldName, uuid.UUID]
    ciphertexts: Mapping[FieldName, bytes]
    next_tokens: Mapping[FieldName, uuid.UUID]


class NextTokens(NamedTuple):
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
        values = {
            place: [self._value(place, value, keys) for value in self._keys.personal[place]]
            for place in {row.place for row in rows}
        }
        made = {}
        for row in rows:
            try:
                made[row.record_id] = _next_tokens(row, values[row.place])
            # ValueError: the sealed value has no token, so no writer of this project sealed it.
            except (IntegrityError, ValueError):
                continue
        return rows, made

    def _value(
        self, place: EventName, declared: PersonalValue, keys: Mapping[int, DataKey]
    ) -> _Value:
        field = declared.field.name
        return _Value(
            declared.name,
            declared.token_names,
            self._opener.of_value(place, declared.name, field, keys),
            field,
            self._old,
            self._new.field(field),
        )


class _Value(NamedTuple):
    """A personal value of an event: what opens it and makes its tokens, of the old generations and of the new one.

    `token_names` has the name of each token and of its derived form; the first is that of the value itself.
    """

    name: FieldName
    token_names: Sequence[tuple[FieldName, str | None]]
    opener: ValueOpener
    field: FieldName
    old: Mapping[int, Tokenizer]
    new: FieldTokenizer


def _next_tokens(row: TokenRow, values: Sequence[_Value]) -> Mapping[FieldName, uuid.UUID]:
    """Make the next tokens of the values that are there, also of their derived forms."""
    record_id, user_id = row.record_id.bytes, lp(row.user_id)
    made = dict[FieldName, uuid.UUID]()
    for value in values:
        sealed, generation = row.ciphertexts.get(value.name), value.old.get(row.generation)
        if sealed is None and not any(name in row.tokens for name, _ in value.token_names):
            continue
        if sealed is None or generation is None:
            raise IntegrityError
        opened, old = value.opener.open(sealed, record_id, user_id), generation.field(value.field)
        form = old.form(opened)
        for name, derived in value.token_names:
            if row.tokens.get(name) != _token(old, opened, form, derived):
                raise IntegrityError
            made[name] = _token(value.new, opened, form, derived)
    return made


def _token(tokenizer: FieldTokenizer, value: Pii, form: Pii, derived: str | None) -> uuid.UUID:
    return tokenizer.token_of_form(form) if derived is None else tokenizer.token(value, derived)


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
