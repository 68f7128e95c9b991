"""The ring of unwrapped keys: one KMS call a key, however many threads ask, and a limited time in memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

import cachetools
from typing_extensions import override

from vault_etl.base.errors import ConfigurationError, DataError, IntegrityError
from vault_etl.crypto.fields import FieldName, KeyPurpose
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
from vault_etl.kinds.kind import Kind

MAX_CACHED_KEYS: Final = 1_000
MAX_CACHED_SECONDS: Final = 300.0


class KeyRing:
    """Unwraps keys, checks their fingerprints, and keeps them for five minutes at most.

    `kinds` has the kind of each declared field.
    """

    def __init__(
        self,
        reader: KeyReader,
        unwrapper: KeyUnwrapper,
        kinds: Mapping[FieldName, Kind],
        *,
        max_keys: int = MAX_CACHED_KEYS,
        max_seconds: float = MAX_CACHED_SECONDS,
    ) -> None:
        self._reader = reader
        self._unwrapper = unwrapper
        self._kinds = kinds
        # With a condition, cachetools lets one caller call KMS, and the others wait for that answer.
        self._material = cachetools.cached(
            cachetools.TTLCache(max_keys, max_seconds),
            key=lambda key: key.key_id,
            condition=threading.Condition(),
        )(self._unwrap)

    def data_key(self, key_id: int, field: FieldName) -> DataKey:
        """Return the data key of this id.

        Raises IntegrityError if no data key has this id and field; UnusableKeyError if the key opens
        for no caller; KeyUnavailableError if KMS refuses its KMS key.
        """
        stored = self._reader.keys([key_id])
        if not stored or stored[0].purpose is not KeyPurpose.DATA or stored[0].field != field:
            raise IntegrityError
        return DataKey(key_id, field, self._material(stored[0]))

    def stored(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """Return the stored keys of these ids; unknown ids are left out."""
        return self._reader.keys(key_ids)

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer | None]:
        """Return the tokenizers of the active generation and of the pending one, if there is one.

        Keys of fields that are not declared are left out: a later declaration has added them. Raises
        ConfigurationError if there are no token keys yet, or none of a declared field.
        """
        stored = [key for key in self._reader.token_keys() if key.field in self._kinds]
        active = self._tokenizer([key for key in stored if key.state is KeyState.ACTIVE])
        if active is None:
            raise _no_token_keys()
        return active, self._tokenizer([key for key in stored if key.state is KeyState.PENDING])

    def old_tokenizers(self) -> Sequence[Tokenizer]:
        """Return the tokenizers of the retired generations that are not destroyed.

        A field that was added later has no key in them.
        """
        stored = [
            key
            for field in self._kinds
            for key in self._reader.field_token_keys(field)
            if key.state is KeyState.DECRYPT_ONLY
        ]
        return [
            self._tokenizer_of([key for key in stored if key.generation == generation])
            for generation in sorted({key.generation or 0 for key in stored})
        ]

    def field_tokenizer(self, field: FieldName, generation: int | None) -> FieldTokenizer:
        """Return the tokenizer of one field, for a caller that may open this field's keys alone.

        A retired generation is possible: a cut-over may come between the read of a row and this call.
        Raises IntegrityError if no token key is of this field and generation.
        """
        for key in self._reader.field_token_keys(field):
            if key.generation == generation:
                return FieldTokenizer(self._token_key(key), self._kinds[field])
        raise IntegrityError

    def field_tokenizers(self, field: FieldName) -> Sequence[FieldTokenizer]:
        """Return the tokenizers of one field in every generation that rows may hold, the active one first.

        After a cut-over, rows hold the old generation's tokens until its keys are destroyed.
        Raises ConfigurationError if there are no token keys yet.
        """
        stored = self._reader.field_token_keys(field)
        if not stored or stored[0].state is not KeyState.ACTIVE:
            raise _no_token_keys()
        return [FieldTokenizer(self._token_key(key), self._kinds[field]) for key in stored]

    def _tokenizer(self, stored: Sequence[StoredKey]) -> Tokenizer | None:
        """Build the tokenizer of a generation. Raises ConfigurationError unless it has a key of each field."""
        if not stored:
            return None
        if missing := sorted(self._kinds.keys() - {key.field for key in stored}):
            message = f"there is no token key yet of {', '.join(missing)}"
            raise ConfigurationError(message, hint="run `vault-etl keys init`")
        return self._tokenizer_of(stored)

    def _tokenizer_of(self, stored: Sequence[StoredKey]) -> Tokenizer:
        """Build the tokenizer of these keys. Raises IntegrityError unless they are of one generation."""
        keys = [self._token_key(key) for key in stored]
        kinds = {key.field: self._kinds[key.field] for key in keys}
        with contextlib.suppress(ValueError):
            return Tokenizer(keys, kinds)
        raise IntegrityError

    def _token_key(self, key: StoredKey) -> TokenKey:
        return TokenKey(key.key_id, key.field, key.generation or 0, self._material(key))

    def _unwrap(self, key: WrappedKey) -> KeyMaterial:
        material = self._unwrapper.unwrap(key)
        must_have_its_fingerprint(key, material)
        return material


def _no_token_keys() -> ConfigurationError:
    return ConfigurationError("there are no token keys yet", hint="run `vault-etl keys init` once")


class KeyReader(Protocol):
    """May read wrapped keys."""

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """Return the stored keys of these ids; unknown ids are left out."""

    def token_keys(self) -> Sequence[StoredKey]:
        """Return the active and the pending token keys."""

    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        """Return one field's token keys that are not destroyed: the active one, then the others, newest first."""


class KeyTrail(Protocol):
    """May compare the keys with the entries of the log that describe them."""

    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        """Return the ids of keys that differ from the newest entry about them, or that have no entry.

        Checks these keys, or all. A data key that nothing has changed since it was made needs no entry.
        """


class ExplainedKeys(KeyReader):
    """Reads keys for a rotation. Raises DataError for token keys that no entry of the audit log explains."""

    def __init__(self, reader: KeyReader, trail: KeyTrail) -> None:
        self._reader = reader
        self._trail = trail

    @override
    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        return self._reader.keys(key_ids)

    @override
    def token_keys(self) -> Sequence[StoredKey]:
        return self._explained(self._reader.token_keys())

    @override
    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        return self._explained(self._reader.field_token_keys(field))

    def _explained(self, keys: Sequence[StoredKey]) -> Sequence[StoredKey]:
        strange = self._trail.unexplained([key.key_id for key in keys])
        if strange:
            ids = ", ".join(map(str, strange))
            message = f"token keys that no entry of the audit log explains: {ids}"
            raise DataError(
                message,
                hint="a rotation adopts no such key: find out who wrote it; --abort ends a pending key",
            )
        return keys
