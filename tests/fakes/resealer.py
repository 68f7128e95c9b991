"""Compare-and-swap of ciphertexts, in memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence

from tests.fakes.database import FakeDatabase
from vault_etl.core.fields import Field
from vault_etl.core.keys import DataKey
from vault_etl.ports.record_store import Replacement, SealedValue


class FakeResealer:
    """`Resealer` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    def sealed_under(
        self, key_ids: Iterable[int], field: Field, after: uuid.UUID | None, limit: int
    ) -> Sequence[SealedValue]:
        """See `Resealer.sealed_under`."""
        wanted = set(key_ids)
        found = [
            SealedValue(*value)
            for value in self._database.ciphertexts()
            if value[0] is field and int.from_bytes(value[3][1:5], "big") in wanted
        ]
        later = [value for value in found if after is None or value.record_id > after]
        return sorted(later, key=lambda value: value.record_id)[:limit]

    def replace(self, replacements: Sequence[Replacement], key: DataKey) -> int | None:
        """See `Resealer.replace`."""
        if not self._database.fence_holds((key,), None):
            return None
        return sum(self._swap(replacement) for replacement in replacements)

    def _swap(self, replacement: Replacement) -> bool:
        old, new = replacement.value, replacement.ciphertext
        if old.field is Field.QUARANTINE:
            rejection = self._database.quarantine[old.record_id]
            if rejection.body_ciphertext != old.ciphertext:
                return False
            self._database.quarantine[old.record_id] = dataclasses.replace(
                rejection, body_ciphertext=new
            )
            return True
        record = self._database.records[old.record_id]
        if record.ciphertexts.get(old.field) != old.ciphertext:
            return False
        record.ciphertexts[old.field] = new
        return True
