"""Compare-and-swap of wrapped keys, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.rewrap import WrappedKeys


class FakeWrappedKeys(WrappedKeys):
    """`WrappedKeys` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def live(self) -> Sequence[StoredKey]:
        live = (key for key in self._database.keys.values() if key.state is not KeyState.DESTROYED)
        return sorted(live, key=lambda key: (key.purpose, key.field, key.created_at))

    @override
    def swap(
        self,
        request: AuditRequest,
        key: StoredKey,
        wrapped_key: bytes,
        kms_key_arn: str,
    ) -> bool:
        stored = self._database.keys[key.key_id]
        there = (stored.wrapped_key, stored.kms_key_arn)
        if stored.state is KeyState.DESTROYED or there != (key.wrapped_key, key.kms_key_arn):
            return False
        self._database.keys[key.key_id] = dataclasses.replace(
            stored, wrapped_key=wrapped_key, kms_key_arn=kms_key_arn
        )
        return True
