"""A rotation of the data keys names values that do not open, and leaves these values as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.kit.declarations import BOTH, widest_first
from tests.kit.declared import IP
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import (
    all_values,
    filled_vault,
    key_ids,
    others,
)
from vault_etl.crypto.keys import KeyState


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records and a quarantined body."""
    return filled_vault(monkeypatch, declaration=request.param)


def test_a_value_that_does_not_open_is_left_and_named(vault: FakeVault) -> None:
    """The value stays byte for byte as it was, and every other value is done."""
    damaged = sorted(vault.database.records)[2]
    stored = bytearray(vault.database.records[damaged].ciphertexts[IP])
    stored[-1] ^= 1
    vault.database.records[damaged].ciphertexts[IP] = bytes(stored)
    report = vault.rotate()
    assert report.failed == (damaged,)
    assert (report.values_reencrypted, report.values_remaining) == (all_values(vault) - 1, 1)
    assert vault.database.records[damaged].ciphertexts[IP] == bytes(stored)


def test_a_page_of_values_that_do_not_open_does_not_stop_the_rest(vault: FakeVault) -> None:
    """A page has three rows, and the first three of an event are damaged."""
    event = widest_first(vault.declaration)[0].name
    records = vault.database.records.values()
    damaged = sorted(record.record_id for record in records if record.event == event)[:3]
    for record_id in damaged:
        ciphertexts = vault.database.records[record_id].ciphertexts
        ciphertexts[IP] = ciphertexts[IP][:-16] + bytes(16)
    report = vault.rotate(IP)
    assert report.failed == tuple(damaged)
    assert (report.values_reencrypted, report.values_remaining) == (4, 3)


def _other_fields_key(vault: FakeVault, sealed: bytes) -> bytes:
    """The ciphertext, as if it were under a data key of another field."""
    (other,) = key_ids(vault, others(vault)[0])
    return sealed[:1] + other.to_bytes(4, "big") + sealed[5:]


def _destroyed_key(vault: FakeVault, sealed: bytes) -> bytes:
    """The ciphertext, under a destroyed key."""
    key = vault.leases().data_key(IP, 1)
    vault.database.keys[key.key_id] = dataclasses.replace(
        vault.database.keys[key.key_id], state=KeyState.DESTROYED, wrapped_key=None
    )
    return sealed[:1] + key.key_id.to_bytes(4, "big") + sealed[5:]


def _token_key(vault: FakeVault, sealed: bytes) -> bytes:
    """The ciphertext, as if it were under the token key of its field."""
    key_id = next(key.key_id for key in vault.keys.token_keys() if key.field == IP)
    return sealed[:1] + key_id.to_bytes(4, "big") + sealed[5:]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda _, sealed: sealed[:1] + (2**32 - 1).to_bytes(4, "big") + sealed[5:],
        _other_fields_key,
        _destroyed_key,
        _token_key,
        lambda _, sealed: b"\x02" + sealed[1:],
        lambda _, sealed: sealed[:4],
    ],
    ids=["unknown", "another field's", "destroyed", "a token key", "no format", "cut off"],
)
def test_a_value_under_no_key_of_its_field_is_left_and_named(
    vault: FakeVault, break_it: Callable[[FakeVault, bytes], bytes]
) -> None:
    """Each run names the value, and does all others."""
    broken = sorted(vault.database.records)[4]
    ciphertexts = vault.database.records[broken].ciphertexts
    stored = ciphertexts[IP] = break_it(vault, ciphertexts[IP])
    for _ in range(2):
        report = vault.rotate()
        assert report.failed == (broken,)
        assert (report.values_reencrypted, report.values_remaining) == (all_values(vault) - 1, 1)
        assert vault.database.records[broken].ciphertexts[IP] == stored


def test_a_value_that_was_moved_to_another_row_is_left_and_named(vault: FakeVault) -> None:
    """Both swapped values stay: re-encrypted, they would open in the wrong places."""
    first, second = sorted(vault.database.records)[2:4]
    a, b = vault.database.records[first].ciphertexts, vault.database.records[second].ciphertexts
    a[IP], b[IP] = b[IP], a[IP]
    before = (a[IP], b[IP])
    report = vault.rotate()
    assert report.failed == (first, second)
    assert (a[IP], b[IP]) == before
    assert report.values_reencrypted == all_values(vault) - 2
