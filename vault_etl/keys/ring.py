"""Unwrapped keys for those who may unwrap: one KMS call a key, however many threads ask, and not for ever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

import cachetools

from vault_etl.base.errors import ConfigurationError, DataError, IntegrityError
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose
from vault_etl.crypto.keys import (
    DataKey,
    KeyMaterial,
    KeyState,
    StoredKey,
    TokenKey,
    WrappedKey,
)
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.keys.unwrap import KeyUnwrapper, must_have_its_fingerprint

MAX_CACHED_KEYS: Final = 1_000
MAX_CACHED_SECONDS: Final = 300.0


class KeyRing:
    """Unwraps keys, checks their fingerprints, and keeps them for at most five minutes."""

    def __init__(
        self,
        reader: KeyReader,
        unwrapper: KeyUnwrapper,
        *,
        max_keys: int = MAX_CACHED_KEYS,
        max_seconds: float = MAX_CACHED_SECONDS,
    ) -> None:
        self._reader = reader
        self._unwrapper = unwrapper
        # With a condition, cachetools lets one caller work and the others wait for its answer.
        self._material = cachetools.cached(
            cachetools.TTLCache(max_keys, max_seconds),
            key=lambda key: key.key_id,
            condition=threading.Condition(),
        )(self._unwrap)

    def data_key(self, key_id: int, field: Field) -> DataKey:
        """The data key of this id.

        Raises IntegrityError if there is none of this id and field; UnusableKeyError if it does not
        open, for any caller; KeyUnavailableError if KMS refuses its KMS key.
        """
        stored = self._reader.keys([key_id])
        if not stored or stored[0].purpose is not KeyPurpose.DATA or stored[0].field is not field:
            raise IntegrityError
        return DataKey(key_id, field, self._material(stored[0]))

    def stored(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """See `KeyReader.keys`."""
        return self._reader.keys(key_ids)

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer | None]:
        """The tokenizers of the active generation and of the pending one, if there is one.

        Raises ConfigurationError if there are no token keys yet.
        """
        stored = self._reader.token_keys()
        active = self._tokenizer([key for key in stored if key.state is KeyState.ACTIVE])
        if active is None:
            raise _no_token_keys()
        return active, self._tokenizer([key for key in stored if key.state is KeyState.PENDING])

    def old_tokenizers(self) -> Sequence[Tokenizer]:
        """The tokenizers of the retired generations that are not destroyed.

        Raises IntegrityError for keys that are not one a field.
        """
        stored = [
            key
            for field in PERSONAL_FIELDS
            for key in self._reader.field_token_keys(field)
            if key.state is KeyState.DECRYPT_ONLY
        ]
        old = (
            self._tokenizer([key for key in stored if key.generation == generation])
            for generation in sorted({key.generation or 0 for key in stored})
        )
        return [tokenizer for tokenizer in old if tokenizer is not None]

    def field_tokenizer(self, field: Field, generation: int | None) -> FieldTokenizer:
        """The tokenizer of one field, for who may open that field's keys and no other's.

        Of a retired generation too: a cut-over may come between the look at a row and this one.
        Raises IntegrityError if no token key is of this field and generation.
        """
        for key in self._reader.field_token_keys(field):
            if key.generation == generation:
                return FieldTokenizer(self._token_key(key))
        raise IntegrityError

    def field_tokenizers(self, field: Field) -> Sequence[FieldTokenizer]:
        """The tokenizers of one field in every generation that rows may hold: the active one first.

        After a cut-over the old generation's tokens stand in rows until its keys are destroyed.
        Raises ConfigurationError if there are no token keys yet.
        """
        stored = self._reader.field_token_keys(field)
        if not stored or stored[0].state is not KeyState.ACTIVE:
            raise _no_token_keys()
        return [FieldTokenizer(self._token_key(key)) for key in stored]

    def _tokenizer(self, stored: Sequence[StoredKey]) -> Tokenizer | None:
        """Raises IntegrityError for keys that are not one a field, of one generation."""
        if not stored:
            return None
        keys = [self._token_key(key) for key in stored]
        with contextlib.suppress(ValueError):
            return Tokenizer(keys)
        raise IntegrityError

    def _token_key(self, key: StoredKey) -> TokenKey:
        return TokenKey(key.key_id, Field(key.field), key.generation or 0, self._material(key))

    def _unwrap(self, key: WrappedKey) -> KeyMaterial:
        material = self._unwrapper.unwrap(key)
        must_have_its_fingerprint(key, material)
        return material


def _no_token_keys() -> ConfigurationError:
    return ConfigurationError("there are no token keys yet", hint="run `vault-etl keys init` once")


class KeyReader(Protocol):
    """May read wrapped keys."""

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """The stored keys of these ids; unknown ids are left out."""

    def token_keys(self) -> Sequence[StoredKey]:
        """The active and the pending token keys."""

    def field_token_keys(self, field: Field) -> Sequence[StoredKey]:
        """The token keys of one field that are not destroyed: the active one, then the newest first."""


class KeyTrail(Protocol):
    """May compare the keys with the entries of the log that say what they are."""

    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        """The ids of keys that are not what the newest entry about them says, or that have none.

        Of these keys, or of all. A data key that nothing has changed since it was made needs no entry.
        """


class ExplainedKeys:
    """`KeyReader` that raises DataError in place of token keys that were changed without an entry."""

    def __init__(self, reader: KeyReader, trail: KeyTrail) -> None:
        self._reader = reader
        self._trail = trail

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """See `KeyReader.keys`."""
        return self._reader.keys(key_ids)

    def token_keys(self) -> Sequence[StoredKey]:
        """See `KeyReader.token_keys`."""
        return self._explained(self._reader.token_keys())

    def field_token_keys(self, field: Field) -> Sequence[StoredKey]:
        """See `KeyReader.field_token_keys`."""
        return self._explained(self._reader.field_token_keys(field))

    def _explained(self, keys: Sequence[StoredKey]) -> Sequence[StoredKey]:
        strange = self._trail.unexplained([key.key_id for key in keys])
        if strange:
            ids = ", ".join(map(str, strange))
            message = f"token keys that no entry of the audit log explains: {ids}"
            raise DataError(
                message,
                hint="a rotation adopts no such key: find out who wrote it; --abort ends a pending one",
            )
        return keys
