"""Find: the order of the calls, every generation, and a value that goes nowhere."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.fakes.login_events import login_event
from tests.fakes.record_finder import FakeRecordFinder
from tests.fakes.tap import Recorder
from tests.fakes.vault import FakeVault, find_request
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import AuditError, ConfigurationError, KeyUnavailableError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.reveal.find import Find, Found

ADDRESS = "198.51.100.7"


def find(vault: FakeVault, value: str = ADDRESS, field: Field = Field.IP) -> Found:
    """Look for a value, in a new process."""
    service = Find(vault.audit, FakeRecordFinder(vault.database), vault.ring())
    return service(find_request(field), Pii.of_text(value), 10)


def ids(found: Found) -> list[uuid.UUID]:
    """Who holds it."""
    listed = [holder.record_id for holder in found.holders.newest]
    assert found.holders.count == len(listed)
    return sorted(listed)


def test_intent_unwrap_look_outcome_in_this_order(vault: FakeVault) -> None:
    """Nothing is asked of KMS before the intent, and nothing is returned before the outcome."""
    vault.store(login_event(ip=ADDRESS))
    recorder = Recorder()
    seen = vault.tapped(recorder.tap)
    finder = recorder.tap(FakeRecordFinder(vault.database))
    Find(seen.audit, finder, seen.ring())(find_request(), Pii.of_text(ADDRESS), 10)
    assert recorder.calls == ["intend", "field_token_keys", "unwrap", "holding", "conclude"]


def test_only_token_keys_of_that_field_are_unwrapped(vault: FakeVault) -> None:
    """No data key, and no key of the other field, in any generation."""
    vault.add_token_keys(2, KeyState.PENDING)
    vault.store(login_event(ip=ADDRESS))
    vault.kms.unwrapped.clear()
    find(vault)
    keys = [vault.database.keys[key_id] for key_id in vault.kms.unwrapped]
    assert [(k.purpose, k.field) for k in keys] == [(KeyPurpose.TOKEN, Field.IP)] * 2


def test_old_tokens_in_the_next_columns_are_found(vault: FakeVault) -> None:
    """After a cut-over: a row that was left out, one that was not, and a new one, by the new token."""
    (left_out,) = vault.store(login_event(ip=ADDRESS))
    vault.add_token_keys(2, KeyState.PENDING)
    (both,) = vault.store(login_event(ip=ADDRESS))
    for record_id in (left_out, both):
        row = vault.database.records[record_id]
        vault.database.records[record_id] = dataclasses.replace(
            row, tokens=row.next_tokens or {}, next_tokens=row.tokens
        )
    for key in list(vault.database.keys.values()):
        if key.purpose is KeyPurpose.TOKEN:
            retired = key.generation == 1
            vault.database.set_state(
                key.key_id, KeyState.DECRYPT_ONLY if retired else KeyState.ACTIVE
            )
    (new,) = vault.store(login_event(ip=ADDRESS))
    found = find(vault)
    assert ids(found) == sorted([left_out, both, new])
    assert found.token == vault.database.records[new].tokens[Field.IP]


@pytest.mark.parametrize("phase", Phase)
def test_without_the_log_there_is_no_answer(vault: FakeVault, phase: Phase) -> None:
    """An intent that is not written asks nothing of KMS; an outcome that is not, withholds."""
    vault.audit.broken.add(phase)
    vault.kms.unwrapped.clear()
    with pytest.raises(AuditError):
        find(vault)
    assert bool(vault.kms.unwrapped) is (phase is Phase.OUTCOME)


def test_a_key_that_kms_refuses_is_an_outcome(vault: FakeVault) -> None:
    """The record says that it failed, and why."""
    vault.kms.denied.add(Field.IP)
    with pytest.raises(KeyUnavailableError):
        find(vault)
    last = vault.database.audit[-1]
    assert (last.phase, last.decision, last.error_code) == ("outcome", "failed", "key_unavailable")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field.IP, "198.51.100.777"),
        (Field.IP, "canary.example.test"),
        (Field.DEVICE_ID, " \u00a0 "),
    ],
)
def test_what_no_record_can_hold_is_no_look(vault: FakeVault, field: Field, value: str) -> None:
    """It is refused before there is an entry, and the error does not hold the value."""
    with pytest.raises(UsageError) as raised:
        find(vault, value, field)
    told = f"{raised.value} {raised.value.hint} {raised.value.__cause__}"
    assert value not in told
    assert vault.database.audit == []


def test_without_token_keys_the_hint_says_what_to_run(vault: FakeVault) -> None:
    """A vault that never had any: `keys init`."""
    vault.database.keys.clear()
    with pytest.raises(ConfigurationError) as raised:
        find(vault)
    assert "keys init" in str(raised.value.hint)


def test_a_pending_generation_alone_is_none(vault: FakeVault) -> None:
    """There is always an active one, whose token the answer shows."""
    for key in vault.database.keys.values():
        assert key.generation == 1
    vault.database.keys.clear()
    vault.add_token_keys(2, KeyState.PENDING)
    with pytest.raises(ConfigurationError):
        find(vault)
