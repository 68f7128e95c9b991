"""Unwrapping the keys of a page takes no longer than the claim of its range lasts, whatever a loader stored."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP, USER_LOGINS
from tests.kit.fakes.rotation import CLAIM_SECONDS
from tests.kit.fakes.vault import FakeVault
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.keys import KeyMaterial, WrappedKey
from vault_etl.keys.ring import KeyRing
from vault_etl.rotation.worker_keys import KEYS_WITHIN_S, WorkerKeys

KMS_S = 1.0
"""A slow answer. Real ones take some 10 ms, and the workers of a process wait for each other."""
ROWS = 20


@dataclass(frozen=True)
class Row:
    """A row under one key."""

    ciphertexts: dict[FieldName, bytes]
    place: EventName = USER_LOGINS


class SlowKms:
    """`KeyUnwrapper` that lets time pass."""

    def __init__(self, vault: FakeVault) -> None:
        self._vault = vault

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """Unwrap the key after a slow answer of KMS."""
        self._vault.clock.advance(KMS_S)
        return self._vault.kms.unwrap(key)


def test_a_page_ends_where_its_keys_take_too_long() -> None:
    """Each row is under another key: the first page does some rows, later pages do the rest, and no claim lapses."""
    vault = FakeVault()
    key_ids = [vault.leases().data_key(IP, 1).key_id for _ in range(ROWS)]
    rows = [Row({IP: b"\x01" + key_id.to_bytes(4, "big")}) for key_id in key_ids]
    ring = KeyRing(vault.keys, SlowKms(vault), DEFAULT.kinds)
    keys = WorkerKeys(ring, vault.value_keys(ring), vault.leases(), vault.clock, DEFAULT)
    asked = list[int]()
    pages = 0
    while rows:
        began = vault.clock.monotonic()
        done, found = keys.of_rows(rows, asked.append)
        assert vault.clock.monotonic() - began <= KEYS_WITHIN_S + KMS_S + 0.1 < CLAIM_SECONDS / 2
        assert len(found) == len(done) > 0
        rows = rows[len(done) :]
        pages += 1
    assert asked == key_ids
    assert pages > 1


def test_a_row_under_a_slow_key_is_done_all_the_same() -> None:
    """A page has at least one row, even under a slow key."""
    vault = FakeVault()
    key_id = vault.leases().data_key(IP, 1).key_id
    ring = KeyRing(vault.keys, SlowKms(vault), DEFAULT.kinds)
    keys = WorkerKeys(ring, vault.value_keys(ring), vault.leases(), vault.clock, DEFAULT)
    row = Row({IP: b"\x01" + key_id.to_bytes(4, "big")})
    vault.clock.advance(KEYS_WITHIN_S)
    done, found = keys.of_rows([row], lambda _: None)
    assert (done, list(found)) == ([row], [key_id])
