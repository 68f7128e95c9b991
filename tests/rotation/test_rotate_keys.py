"""Rotation of the data keys: online, resumable, and without any loss of values."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.declared import IP
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.kit.messages import numbered
from tests.rotation.rotation_world import (
    EVERY_ADDRESS,
    RECORDS,
    addresses,
    all_values,
    filled_vault,
    key_ids,
    others,
    seen_by,
)
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import (
    AuditError,
    IncompleteError,
    KeyUnavailableError,
)
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import QUARANTINE, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.sealing import Sealer
from vault_etl.records.fenced_writes import MAX_FENCE_TRIES
from vault_etl.rotation import data_keys
from vault_etl.rotation.data_keys import plan_rotation, retire_data_keys


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records and a quarantined body."""
    return filled_vault(monkeypatch, declaration=request.param)


def test_every_value_is_reencrypted_under_new_keys(vault: FakeVault) -> None:
    """The old keys are retired, no value needs them any more, and every value still opens."""
    old = key_ids(vault)
    report = vault.rotate()
    assert set(report.retired) == old
    assert set(report.created) == key_ids(vault)
    assert not old & key_ids(vault)
    assert (report.values_reencrypted, report.values_remaining, report.failed) == (
        all_values(vault),
        0,
        (),
    )
    assert all(vault.database.keys[key_id].state is KeyState.DECRYPT_ONLY for key_id in old)
    assert addresses(vault) == EVERY_ADDRESS


def test_a_quarantined_body_is_reencrypted_too(vault: FakeVault) -> None:
    """A body holds personal values as a row does."""
    old = key_ids(vault, QUARANTINE)
    vault.rotate(QUARANTINE)
    assert not old & key_ids(vault, QUARANTINE)


def test_only_the_fields_that_were_asked_for_are_rotated(vault: FakeVault) -> None:
    """The other fields keep their keys."""
    before = key_ids(vault, *others(vault))
    report = vault.rotate(IP)
    assert report.values_reencrypted == RECORDS
    assert key_ids(vault, *others(vault)) == before


def test_tokens_and_token_keys_are_left_alone(vault: FakeVault) -> None:
    """Duplicates stay duplicates."""
    tokens = {r.record_id: dict(r.tokens) for r in vault.database.records.values()}
    vault.rotate()
    assert {r.record_id: dict(r.tokens) for r in vault.database.records.values()} == tokens
    states = {k.state for k in vault.database.keys.values() if k.purpose is KeyPurpose.TOKEN}
    assert states == {KeyState.ACTIVE}


def test_retiring_leaves_the_rows_alone(vault: FakeVault) -> None:
    """Old rows keep their keys for now; new messages get new keys."""
    old = key_ids(vault)
    request = rotate_request(*vault.declaration.data_fields)
    assert set(retire_data_keys(vault.audit, vault.keys, request)) == old
    assert key_ids(vault) == old
    (new,) = vault.store(numbered(vault.declaration, RECORDS))
    sealed = vault.database.records[new].ciphertexts.values()
    assert not old & {Ciphertext.parse(stored).key_id for stored in sealed}


def test_values_under_retired_keys_are_reencrypted_by_the_next_run(vault: FakeVault) -> None:
    """The run searches for retired keys with rows, not for the keys that it retired itself."""
    request = rotate_request(*vault.declaration.data_fields)
    retire_data_keys(vault.audit, vault.keys, request)
    report = vault.rotate()
    assert (report.retired, report.values_remaining) == ((), 0)
    assert report.values_reencrypted == all_values(vault)


def test_a_second_rotation_reencrypts_only_the_values_of_the_first(vault: FakeVault) -> None:
    """Every other value was re-encrypted by the first rotation."""
    first = vault.rotate()
    second = vault.rotate()
    assert set(second.retired) == set(first.created)
    assert (second.values_reencrypted, second.values_remaining) == (all_values(vault), 0)


def test_a_plan_counts_and_changes_nothing(vault: FakeVault) -> None:
    """The plan has the keys to retire, and the number of values to re-encrypt."""
    before = dict(vault.database.keys)
    plan = plan_rotation(vault.keys, vault.rotations, vault.declaration.data_fields)
    assert (set(plan.retire), plan.values) == (key_ids(vault), all_values(vault))
    assert vault.database.keys == before
    assert plan_rotation(vault.keys, vault.rotations, [IP]).values == RECORDS


def test_a_key_that_kms_refuses_ends_the_run(vault: FakeVault) -> None:
    """KMS refuses a new key too: the values are not damaged, and KMS is not asked for each value."""
    vault.kms.denied = {IP}
    vault.kms.unwrapped.clear()
    with pytest.raises(KeyUnavailableError):
        vault.rotate(IP)
    assert len(vault.kms.unwrapped) == 2
    assert vault.database.audit[-1].error_code == "key_unavailable"
    vault.kms.denied = set()
    assert addresses(vault) == EVERY_ADDRESS


def test_a_value_that_was_erased_in_between_stays_erased(vault: FakeVault) -> None:
    """Compare-and-swap: a value that changed since it was read is not overwritten, and not counted."""
    erased = min(vault.database.records)

    def erasing(name: str, call: Callable[[], Any]) -> object:
        if name == "replace":
            vault.database.records[erased].ciphertexts.pop(IP, None)
        return call()

    seen = seen_by(vault, erasing)
    report = seen.rotate(IP)
    assert report.values_reencrypted == RECORDS - 1
    assert IP not in vault.database.records[erased].ciphertexts


def test_a_row_that_changes_under_a_page_is_read_again(vault: FakeVault) -> None:
    """Another process seals the row twice under an old key, between the read and the swap, and then no more."""
    changing = vault.database.records[min(vault.database.records)]
    place = ValuePlace(changing.event, IP, IP, changing.record_id, changing.subject)
    value = Pii(b"198.51.100." + changing.subject.removeprefix("user-").encode())
    old_key = vault.leases().data_key(IP, 1)
    vault.keys.retire_data_keys(rotate_request(), [IP])
    calls: list[str] = []

    def reencrypting(name: str, call: Callable[[], Any]) -> object:
        calls.append(name)
        if name == "replace" and calls.count("replace") <= 2:
            changing.ciphertexts[IP] = Sealer([old_key]).seal(value, place)
        return call()

    report = seen_by(vault, reencrypting).rotate(IP)
    assert (report.values_reencrypted, report.values_remaining) == (RECORDS, 0)
    assert calls.count("page") <= 6
    assert vault.clock.monotonic() == 0, "it waited for its own claim to end"
    assert addresses(vault) == EVERY_ADDRESS


def test_no_value_is_written_under_keys_that_another_rotation_retires(vault: FakeVault) -> None:
    """The fence refuses the batch, and the batch is sealed again under a third key."""
    retired: list[int] = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "replace" and not retired:
            retired.extend(vault.keys.retire_data_keys(rotate_request(), [IP]))
        return call()

    seen = seen_by(vault, retiring)
    report = seen.rotate(IP)
    assert retired
    assert report.values_reencrypted == RECORDS
    assert not set(retired) & key_ids(vault)
    assert addresses(vault) == EVERY_ADDRESS


def test_keys_that_change_under_every_try_end_the_run(vault: FakeVault) -> None:
    """Another run is safe when the other rotation is over."""
    tries = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "replace":
            tries.append(vault.keys.retire_data_keys(rotate_request(), [IP]))
        return call()

    seen = seen_by(vault, retiring)
    with pytest.raises(IncompleteError):
        seen.rotate(IP)
    assert len(tries) == MAX_FENCE_TRIES
    assert addresses(vault) == EVERY_ADDRESS


def test_no_key_is_retired_without_an_intent(vault: FakeVault) -> None:
    """Both a rotation and its lazy form need the intent."""
    vault.audit.broken = {Phase.INTENT}
    before = dict(vault.database.keys)
    with pytest.raises(AuditError):
        vault.rotate()
    with pytest.raises(AuditError):
        retire_data_keys(vault.audit, vault.keys, rotate_request())
    assert vault.database.keys == before


def test_a_rotation_is_one_entry_with_its_outcome(vault: FakeVault) -> None:
    """The entry has all fields that were asked for."""
    vault.rotate(IP, QUARANTINE)
    intent, outcome = vault.database.audit[-2:]
    assert (intent.action, intent.fields) == ("keys rotate", ("ip", "quarantine"))
    assert (outcome.phase, outcome.decision) == ("outcome", "done")


def test_progress_counts_every_value(vault: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """All values of three rows at a time, in one range a table."""
    monkeypatch.setattr(data_keys, "ROWS_A_RANGE", 1_000)
    vault.rotate()
    assert sum(done for done, _ in vault.progress.steps) == all_values(vault)
    widest = max(len(event.personal) for event in vault.declaration.events)
    assert max(done for done, _ in vault.progress.steps) == 3 * widest


def test_an_empty_vault_gets_no_key_from_a_rotation() -> None:
    """A key is made only for a value."""
    report = FakeVault().rotate()
    assert (report.retired, report.created, report.values_reencrypted) == ((), (), 0)


def test_records_that_are_loaded_meanwhile_are_not_touched(vault: FakeVault) -> None:
    """Such records are under keys of their own, which are active."""
    loaded: list[uuid.UUID] = []

    def loading(name: str, call: Callable[[], Any]) -> object:
        if name == "replace" and not loaded:
            loaded.extend(vault.store(numbered(vault.declaration, 99)))
        return call()

    before = all_values(vault)
    report = seen_by(vault, loading).rotate()
    assert (report.values_reencrypted, report.values_remaining) == (before, 0)
    assert addresses(vault) == EVERY_ADDRESS | {b"198.51.100.99"}
