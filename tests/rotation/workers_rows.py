"""Records of a worker beside other records, and the hint of a refused rotation about them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from tests.kit.fakes.vault import FakeVault
from tests.rotation.token_world import event
from vault_etl.base.errors import DataError
from vault_etl.rotation.leave_out import LeaveOut

WORKER = LeaveOut(login="worker")


def store_of_worker(vault: FakeVault) -> Sequence[uuid.UUID]:
    """Store five records under keys of the login `worker`; their ids."""
    before = set(vault.database.keys)
    ids = vault.store(*(event(number, vault.declaration) for number in range(5)))
    for key_id in vault.database.keys.keys() - before:
        key = vault.database.keys[key_id]
        vault.database.keys[key_id] = dataclasses.replace(key, created_by="worker")
    return ids


def keys_of(vault: FakeVault, record_id: uuid.UUID) -> list[int]:
    """The keys of a record's values."""
    ciphertexts = vault.database.records[record_id].ciphertexts.values()
    return [int.from_bytes(sealed[1:5], "big") for sealed in ciphertexts]


def hinted(error: DataError) -> LeaveOut:
    """The single addition that the hint names."""
    _, _, what = (error.hint or "").partition("--leave-out ")
    return LeaveOut.parse(what)


def entries(vault: FakeVault, word: str) -> list[tuple[uuid.UUID | None, str, str, str]]:
    """The entries whose reason has this word: the record, the phase, the decision and the reason."""
    return [
        (e.record_id, e.phase, e.decision, e.reason)
        for e in vault.database.audit
        if word in e.reason
    ]
