"""The end of keys, in memory."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import QUARANTINE, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.destroy import Cleared, KeyEnder, OldTokens
from vault_etl.keys.needed import KeyNeeds, KeyNeedsCounter


class FakeKeyEnd(KeyEnder, OldTokens, KeyNeedsCounter):
    """`KeyNeeds`, `KeyEnder` and `OldTokens` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def of_data_key(self, key_id: int) -> KeyNeeds:
        fields = [
            field
            for field, _, _, ciphertext in self._database.ciphertexts()
            if int.from_bytes(ciphertext[1:5], "big") == key_id
        ]
        bodies = fields.count(QUARANTINE)
        key = self._database.keys[key_id]
        leases = int(key.state is KeyState.ACTIVE and not self._is_over(key))
        return KeyNeeds(values=len(fields) - bodies, bodies=bodies, leases=leases)

    @override
    def of_generation(self, generation: int, *, counted: bool) -> KeyNeeds:
        records = self._database.records.values()
        return KeyNeeds(
            values=sum(r.token_generation == generation for r in records),
            old_tokens=sum(r.next_token_generation == generation for r in records),
        )

    @override
    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        keys = self._database.keys
        retired = sorted(
            k for k in key_ids if keys[k].state is KeyState.ACTIVE and self._is_over(keys[k])
        )
        for key_id in retired:
            self._database.set_state(key_id, KeyState.DECRYPT_ONLY)
        return retired

    @override
    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        keys = self._database.keys
        ended = sorted(k for k in key_ids if k in keys and keys[k].state is KeyState.DECRYPT_ONLY)
        for key_id in ended:
            self._database.set_state(key_id, KeyState.DESTROYED)
        return ended

    @override
    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        records = self._database.records
        in_use = {
            key.generation
            for key in self._database.keys.values()
            if key.state in {KeyState.ACTIVE, KeyState.PENDING}
        }
        page = sorted(record_id for record_id in records if after is None or record_id > after)
        page = page[:limit]
        if generation in in_use or not page:
            return Cleared(0, None)
        found = [each for each in page if records[each].next_token_generation == generation]
        for record_id in found:
            records[record_id] = records[record_id]._replace(
                next_tokens=None, next_token_generation=None
            )
        return Cleared(len(found), page[-1])

    def _is_over(self, key: StoredKey) -> bool:
        expires_at = key.expires_at
        over = expires_at is not None and expires_at <= self._database.clock.now()
        return key.purpose is KeyPurpose.DATA and over
