"""The table of wrapped keys, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.age import Ages, KeyAges
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.init import FirstKeyWriter, SourceKeyReader
from vault_etl.keys.make import DataKeyWriter, NewKey
from vault_etl.keys.needed import KeyLister, KeyUsage
from vault_etl.keys.ring import KeyReader, KeyTrail


class FakeKeyStore(
    KeyReader,
    SourceKeyReader,
    DataKeyWriter,
    FirstKeyWriter,
    KeyTrail,
    KeyRetirer,
    KeyAges,
    KeyLister,
):
    """Every port of `vault_etl.keys.store`, and `KeyAges`, in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        stored = self._database.keys
        return [stored[key_id] for key_id in key_ids if key_id in stored]

    @override
    def token_keys(self) -> Sequence[StoredKey]:
        return [
            key
            for key in self._database.keys.values()
            if key.purpose is KeyPurpose.TOKEN and key.state in {KeyState.ACTIVE, KeyState.PENDING}
        ]

    @override
    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        there = [
            key
            for key in self._database.keys.values()
            if key.purpose is KeyPurpose.TOKEN
            and key.field == field
            and key.state is not KeyState.DESTROYED
        ]
        return sorted(
            there, key=lambda k: (k.state is KeyState.ACTIVE, k.generation or 0), reverse=True
        )

    @override
    def source_key(self) -> StoredKey | None:
        keys = self._database.keys.values()
        return next((key for key in keys if key.purpose is KeyPurpose.SOURCE), None)

    @override
    def add_data_key(self, key: NewKey) -> bool:
        if key.key_id in self._database.keys:
            return False
        self.store(key, KeyState.ACTIVE)
        return True

    @override
    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        there = [
            key
            for key in self._database.keys.values()
            if key.state in {KeyState.ACTIVE, KeyState.PENDING}
            and key.purpose is not KeyPurpose.DATA
        ]
        if not there:
            for key in keys:
                self.store(key, KeyState.ACTIVE)
            return True
        states = {key.generation: key.state for key in there}
        stored = {(key.generation, key.field) for key in there}
        if any(
            key.generation not in states or (key.generation, key.field) in stored for key in keys
        ):
            return False
        for key in keys:
            self.store(key, states[key.generation])
        return True

    @override
    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        strange = self._database.unexplained
        return sorted(strange if key_ids is None else strange.intersection(key_ids))

    @override
    def retire_data_keys(self, request: AuditRequest, fields: Iterable[FieldName]) -> Sequence[int]:
        wanted = set(fields)
        retired = [
            key.key_id
            for key in self._database.keys.values()
            if key.purpose is KeyPurpose.DATA
            and key.state is KeyState.ACTIVE
            and key.field in wanted
        ]
        for key_id in retired:
            self._database.set_state(key_id, KeyState.DECRYPT_ONLY)
        return sorted(retired)

    @override
    def oldest(self, state: KeyState) -> Ages:
        now = self._database.clock.now()
        ages = [
            (key.purpose, now - key.created_at)
            for key in self._database.keys.values()
            if key.state is state
        ]
        return {purpose: max(a for p, a in ages if p is purpose) for purpose, _ in ages}

    @override
    def usage(self, *, counted: bool = False) -> Sequence[KeyUsage]:
        sealed = Counter(
            int.from_bytes(ciphertext[1:5], "big")
            for _, _, _, ciphertext in self._database.ciphertexts()
        )
        records = self._database.records.values()
        tokens = Counter(record.token_generation for record in records if record.tokens)
        tokens += Counter(r.next_token_generation for r in records if r.next_token_generation)
        return [
            KeyUsage(key, rows, unused=not rows and self._may_end(key))
            for key in self._database.keys.values()
            for rows in [tokens[key.generation] if key.generation else sealed[key.key_id]]
        ]

    def _may_end(self, key: StoredKey) -> bool:
        expires_at = key.expires_at
        is_over = expires_at is not None and expires_at <= self._database.clock.now()
        states = (KeyState.DECRYPT_ONLY, *([KeyState.ACTIVE] if is_over else []))
        return key.purpose is KeyPurpose.DATA and key.state in states

    def store(self, key: NewKey, state: KeyState) -> None:
        """Add a row, or replace the row that is there."""
        now = self._database.clock.now()
        self._database.keys[key.key_id] = StoredKey(
            key_id=key.key_id,
            purpose=key.purpose,
            field=key.field,
            generation=key.generation,
            kms_key_arn=key.kms_key_arn,
            wrapped_key=key.wrapped_key,
            fingerprint=key.fingerprint,
            state=state,
            created_at=now,
            created_by="fake",
            expires_at=now + key.lease if key.lease else None,
        )
