"""Compare-and-swap of ciphertexts, in memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.rotation import move_range
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyState
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, Swap
from vault_etl.rotation.reencrypt import Reencrypter, Remaining, Replacement, SealedRow


class FakeReencrypter(Reencrypter):
    """`Resealer` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    @override
    def page(self, rotation: OpenRotation, at: Range, limit: int) -> Page[SealedRow]:
        rows = [
            row
            for row in self._old(rotation, at.place)
            if at.first <= row.record_id <= at.last
            and (at.after is None or row.record_id > at.after)
        ][:limit]
        return Page(rows, is_last=len(rows) < limit)

    @override
    def replace(
        self, replacements: Sequence[Replacement], keys: Sequence[DataKey], step: RotationStep
    ) -> Swap | None:
        if replacements and not self._database.fence_holds(keys, None):
            return None
        swapped = [r for r in replacements if self._swap(r)]
        move_range(self._database, step, is_whole=len(swapped) == len(replacements))
        return Swap(len(swapped), sum(len(r.ciphertexts) for r in swapped))

    @override
    def remaining(self, rotation: OpenRotation) -> Remaining:
        rows = [row for place in self._database.tables for row in self._old(rotation, place)]
        values = sum(len(row.ciphertexts) for row in rows)
        return Remaining(values, tuple(row.record_id for row in rows)[:10])

    def _old(self, rotation: OpenRotation, place: EventName) -> list[SealedRow]:
        rows: dict[uuid.UUID, SealedRow] = {}
        for table, field, record_id, user_id, ciphertext in self._database.placed_ciphertexts():
            if (
                table == place
                and field in rotation.fields
                and not self._stays(rotation, field, ciphertext)
            ):
                row = rows.get(record_id, SealedRow(place, record_id, user_id, {}))
                rows[record_id] = row._replace(ciphertexts={**row.ciphertexts, field: ciphertext})
        return sorted(rows.values(), key=lambda row: row.record_id)

    def _stays(self, rotation: OpenRotation, field: FieldName, ciphertext: bytes) -> bool:
        key_id = int.from_bytes(ciphertext[1:5], "big")
        key = self._database.keys.get(key_id)
        return (
            key is not None
            and key.purpose is KeyPurpose.DATA
            and key.field == field
            and key.state is not KeyState.DESTROYED
            and key_id not in rotation.old_keys
        )

    def _swap(self, replacement: Replacement) -> bool:
        row, new = replacement.row, replacement.ciphertexts
        if row.place == QUARANTINE_TABLE:
            rejection = self._database.quarantine[row.record_id]
            is_erased = row.record_id in self._database.erased_bodies
            if is_erased or rejection.body_ciphertext != row.ciphertexts[QUARANTINE]:
                return False
            self._database.quarantine[row.record_id] = dataclasses.replace(
                rejection, body_ciphertext=new[QUARANTINE]
            )
            return True
        record = self._database.records[row.record_id]
        if any(record.ciphertexts.get(field) != row.ciphertexts[field] for field in new):
            return False
        record.ciphertexts.update(new)
        return True
