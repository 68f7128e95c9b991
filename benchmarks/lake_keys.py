"""The keys of the bench `lake`: always the same, and unwrapped without KMS."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from typing_extensions import override

from vault_etl.crypto.digest import sha256
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import (
    DataKey,
    KeyMaterial,
    KeyState,
    StoredKey,
    TokenKey,
    WrappedKey,
    fingerprint,
)
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import Declaration
from vault_etl.keys.ring import KeyReader, KeyRing
from vault_etl.keys.unwrap import KeyUnwrapper

_MADE_AT: Final = dt.datetime(2026, 1, 15, tzinfo=dt.UTC)
_TOKEN_KEYS: Final = 1_000
"""The ids of token keys are above those of data keys."""


class BenchKeys:
    """Two generations of keys of a declaration: the first is active, the second is what a rotation changes to."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        held = [
            _stored(purpose, field, generation, key_id)
            for generation in (1, 2)
            for key_id, field in enumerate(declaration.field_names, 100 * generation)
            for purpose in (KeyPurpose.DATA, KeyPurpose.TOKEN)
        ]
        self.ring = KeyRing(_Held(held), _Unwrapper(), declaration.kinds)

    def sealer(self, generation: int) -> Sealer:
        """Return what seals under the data keys of a generation."""
        fields = enumerate(self._declaration.field_names, 100 * generation)
        return Sealer([DataKey(key_id, field, _material(key_id)) for key_id, field in fields])

    def tokenizer(self, generation: int) -> Tokenizer:
        """Return what makes the tokens of a generation."""
        fields = enumerate(self._declaration.field_names, 100 * generation + _TOKEN_KEYS)
        keys = [TokenKey(key_id, field, generation, _material(key_id)) for key_id, field in fields]
        return Tokenizer(keys, self._declaration.kinds)


class _Held(KeyReader):
    def __init__(self, held: Sequence[StoredKey]) -> None:
        self._held = held

    @override
    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        wanted = set(key_ids)
        return [key for key in self._held if key.key_id in wanted]

    @override
    def token_keys(self) -> Sequence[StoredKey]:
        return [key for key in self._held if key.purpose is KeyPurpose.TOKEN]

    @override
    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        return [key for key in self.token_keys() if key.field == field]


class _Unwrapper(KeyUnwrapper):
    @override
    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        return _material(key.key_id)


def _stored(purpose: KeyPurpose, field: FieldName, generation: int, key_id: int) -> StoredKey:
    is_token = purpose is KeyPurpose.TOKEN
    key_id += _TOKEN_KEYS * is_token
    return StoredKey(
        key_id=key_id,
        purpose=purpose,
        field=field,
        generation=generation if is_token else None,
        kms_key_arn="arn:aws:kms:us-east-1:000000000000:key/none",
        wrapped_key=b"none",
        fingerprint=fingerprint(_material(key_id), key_id),
        state=KeyState.ACTIVE if generation == 1 else KeyState.PENDING,
        created_at=_MADE_AT,
        created_by="benchmarks",
    )


def _material(key_id: int) -> KeyMaterial:
    return KeyMaterial(sha256(b"a key of a benchmark", key_id.to_bytes(4, "big")))
